"""The way of one packet through a program: bridging, routing, connection tracking and NAT, hook by hook."""

from dataclasses import dataclass, field, replace

from weftwork.program.linux import Bridge, Family, PortLink, Uplink, Vtep
from weftwork.verifier.linux.frame import (
    BROADCAST,
    ESTABLISHED,
    ETHER_ARP,
    INVALID,
    NEW,
    RELATED,
    Arp,
    Flow,
    Packet,
)
from weftwork.verifier.linux.remotes import RemotePort
from weftwork.verifier.linux.scope import Leg, Scope
from weftwork.verifier.linux.tables import Chain, Stop
from weftwork.verifier.linux.view import ProgramView

_CONNTRACK = -200
_HOPS_MAX = 8
_MULTICAST = "01:00:5e:00:00:01"


@dataclass(frozen=True, slots=True)
class AtPort:
    """`scope` and `device` where it came out."""

    scope: Scope
    device: str
    packet: Packet


@dataclass(frozen=True, slots=True)
class AtRouter:
    scope: Scope
    packet: Packet


@dataclass(frozen=True, slots=True)
class Beyond:
    """It left for the external network, where no namespace of ours has the address."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class Lost:
    """`where` is a chain or a stage of the kernel; `counter` the last counter it met, if a rule dropped it."""

    scope: str
    where: str
    why: str
    counter: str = ""


Outcome = AtPort | AtRouter | Beyond | Lost


@dataclass
class Journey:
    """Packets of one conversation: the flows that it opens are remembered between them."""

    view: ProgramView
    flows: dict[str, list[Flow]] = field(default_factory=dict)
    """By namespace."""
    _hops: int = 0

    # --- where packets begin ------------------------------------------------------------------------------------

    def from_port(self, scope: Scope, device: str, packet: Packet) -> Outcome:
        """A guest sends: to a neighbour's MAC on its own link, else to its gateway's."""
        self._hops = 0
        there = scope.remote(device)
        if there is not None:
            return self._from_elsewhere(scope, there, packet)
        port = scope.port(device)
        vlan = scope.vlan_of(port) if port else None
        if port is None or vlan is None:
            return Lost(scope.name, "device", f"{device} is under no bridge")
        leg = scope.leg(port.bridge, vlan)
        packet.ether_source = port.mac
        mac = self._next_mac(scope, port, vlan, leg, packet)
        if isinstance(mac, Lost):
            return mac
        packet.ether_destination = mac
        packet.iif = device
        stop = scope.tables[Family.BRIDGE].run("prerouting", packet)
        if stop:
            return _lost(scope, stop, packet)
        bridge = scope.links[port.bridge]
        assert isinstance(bridge, Bridge)
        if mac in (BROADCAST, _MULTICAST):
            return self._flooded(scope, port, vlan, leg, packet)
        if leg and mac in (leg.mac, bridge.mac):
            return self._up(scope, leg, packet)
        target = scope.under(port.bridge, vlan, mac)
        if target is None or target == device:
            return Lost(scope.name, "bridge", "no device has the MAC")
        return self._bridged(scope, port.name, port.bridge, target, packet)

    def _from_elsewhere(self, scope: Scope, sender: RemotePort, packet: Packet) -> Outcome:
        """A guest of another host sends to one here. What its own router routed has the MAC of all routers."""
        target = next((one for name in scope.who_has(packet.destination) if (one := scope.port(name))), None)
        vlan = None if target is None else scope.vlan_of(target)
        leg = None if target is None or vlan is None else scope.leg(target.bridge, vlan)
        if target is None or leg is None:
            return Lost(scope.name, "other host", "it does not come here")
        is_neighbour = target.bridge == sender.bridge and vlan == scope.vlan_of(sender)
        vtep = sender.interface if is_neighbour else scope.vtep_under(target.bridge, leg.vlan)
        if vtep is None:
            return Lost(scope.name, "other host", "no VTEP leads to the subnet of the receiver")
        packet.ether_source = sender.mac if is_neighbour else leg.mac
        packet.ether_destination, packet.iif = target.mac, vtep
        stop = scope.tables[Family.BRIDGE].run("prerouting", packet)
        if stop:
            return _lost(scope, stop, packet)
        return self._bridged(scope, vtep, target.bridge, target.name, packet)

    def from_outside(self, packet: Packet) -> Outcome:
        """A packet on the external network, for who has the address; else every router there is offered it."""
        self._hops = 0
        reached = self.view.holders(packet.destination) or self.view.uplinks()
        outcome: Outcome = Lost("", "external network", "nobody has the address")
        for scope, link in reached:
            outcome = self._in(scope, link.name, replace(packet, counted=[]))
            if not isinstance(outcome, Lost):
                break
        return outcome

    def from_router(self, scope: Scope, packet: Packet) -> Outcome:
        self._hops = 0
        self._track(scope, packet)
        stop = scope.tables[Family.INET].run("output", packet)
        return _lost(scope, stop, packet) if stop else self._out(scope, packet)

    def by_uplink(self, scope: Scope, interface: str, packet: Packet) -> Outcome:
        """A packet that comes to a router by one of its uplinks."""
        self._hops = 0
        return self._in(scope, interface, packet)

    def _asks(self, scope: Scope, port: PortLink) -> Stop | None:
        """Does the guard let an ARP question of a guest in? None: it does."""
        way = (port.name, "")
        if way not in scope.passes_arp:
            frame = Packet(
                ether_source=port.mac,
                ether_destination=BROADCAST,
                ether_type=ETHER_ARP,
                arp=Arp(1, port.mac, scope.address_of(port.name) or 0),
                iif=port.name,
            )
            scope.passes_arp[way] = scope.tables[Family.BRIDGE].run("prerouting", frame)
        return scope.passes_arp[way]

    # --- bridging -----------------------------------------------------------------------------------------------

    def _next_mac(self, scope: Scope, port: PortLink, vlan: int, leg: Leg | None, packet: Packet) -> str | Lost:
        destination = packet.destination
        if destination >> 28 == 14:
            return _MULTICAST
        if leg is None or not scope.addresses.get(leg.name):
            return Lost(scope.name, "link", "no router is on the link")
        if scope.is_broadcast(leg.name, destination):
            return BROADCAST
        stop = self._asks(scope, port)
        if stop:
            return Lost(scope.name, stop.chain, stop.rule)
        if not scope.on_link(leg.name, destination) or destination in scope.addresses[leg.name]:
            return leg.mac
        for name in scope.who_has(destination):
            there = scope.remote(name)
            if there is not None and there.bridge == port.bridge:
                # The bridge answers for who is elsewhere, from what the router knows.
                return scope.neighbours.get((leg.name, destination)) or Lost(scope.name, "link", "nobody answers ARP")
            other = scope.port(name)
            if other is None or (other.bridge, scope.vlan_of(other)) != (port.bridge, vlan):
                continue
            if self._passes_arp(scope, port, other) and self._passes_arp(scope, other, port):
                return other.mac
        return Lost(scope.name, "link", "nobody answers ARP")

    def _passes_arp(self, scope: Scope, sender: PortLink, receiver: PortLink) -> bool:
        """From one device of a bridge to another: past the guard, and forwarded."""
        way = (sender.name, receiver.name)
        if way not in scope.passes_arp:
            frame = Packet(
                ether_source=sender.mac,
                ether_destination=receiver.mac,
                ether_type=ETHER_ARP,
                arp=Arp(2, sender.mac, scope.address_of(sender.name) or 0),
                iif=sender.name,
                oif=receiver.name,
            )
            table = scope.tables[Family.BRIDGE]
            scope.passes_arp[way] = table.run("prerouting", frame) or table.run("forward", frame)
        return scope.passes_arp[way] is None

    def _flooded(self, scope: Scope, port: PortLink, vlan: int, leg: Leg | None, packet: Packet) -> Outcome:
        for name in scope.domain(port.bridge, vlan):
            if name != port.name:
                outcome = self._bridged(scope, port.name, port.bridge, name, replace(packet, counted=[]))
                if not isinstance(outcome, Lost):
                    return outcome
        return self._up(scope, leg, packet) if leg else Lost(scope.name, "bridge", "nobody is on the link")

    def _bridged(self, scope: Scope, interface: str, bridge: str, target: str, packet: Packet) -> Outcome:
        """From one device to another under the same bridge; with br_netfilter, by way of the inet tables, too."""
        there = scope.remote(target)
        inet = scope.bridges_call_inet()
        if inet:
            packet.iif = bridge
            early = self._prerouting(scope, packet)
            if early:
                return early
        self._track(scope, packet)
        packet.iif, packet.oif = interface, there.interface if there else target
        stop = scope.tables[Family.BRIDGE].run("forward", packet)
        if stop is None and inet:
            packet.iif = packet.oif = bridge
            stop = scope.tables[Family.INET].run("forward", packet)
        if stop:
            return _lost(scope, stop, packet)
        self._confirm(scope, packet)
        return AtPort(scope, target, packet)

    def _up(self, scope: Scope, leg: Leg, packet: Packet) -> Outcome:
        """From a bridge to the router's interface in it."""
        stop = scope.tables[Family.BRIDGE].run("input", packet)
        return _lost(scope, stop, packet) if stop else self._in(scope, leg.name, packet)

    # --- routing ------------------------------------------------------------------------------------------------

    def _in(self, scope: Scope, interface: str, packet: Packet) -> Outcome:
        self._hops += 1
        if self._hops > _HOPS_MAX:
            return Lost(scope.name, "routing", "it goes round and round")
        packet.iif = interface
        early = self._prerouting(scope, packet)
        if early:
            return early
        refused = _martian(scope, interface, packet)
        if refused:
            return Lost(scope.name, "routing", refused)
        local = scope.is_local(packet.destination) or scope.is_broadcast(interface, packet.destination)
        if local or packet.destination >> 28 == 14:
            packet.oif = ""
            stop = scope.tables[Family.INET].run("input", packet)
            if stop:
                return _lost(scope, stop, packet)
            self._confirm(scope, packet)
            return AtRouter(scope, packet)
        if scope.sysctls.get("net/ipv4/ip_forward") != "1":
            return Lost(scope.name, "routing", "the namespace does not route")
        way = scope.way(packet.destination)
        if way is None:
            return Lost(scope.name, "routing", "no route")
        # The kernel sets it anew by the type of service.
        packet.oif, packet.priority = way.interface, "none"
        stop = scope.tables[Family.INET].run("forward", packet)
        return _lost(scope, stop, packet) if stop else self._out(scope, packet)

    def _out(self, scope: Scope, packet: Packet) -> Outcome:
        way = scope.way(packet.destination)
        if way is None:
            return Lost(scope.name, "routing", "no route")
        packet.oif = way.interface
        stop = self._postrouting(scope, packet)
        if stop:
            return _lost(scope, stop, packet)
        self._confirm(scope, packet)
        hop = packet.destination if way.gateway is None else way.gateway
        link = scope.links.get(way.interface)
        if isinstance(link, Uplink):
            return self._outwards(scope, link, hop, packet)
        if isinstance(link, Vtep) and not link.bridge:
            return Beyond(packet)
        leg = scope.leg_called(way.interface)
        if leg is None:
            return Lost(scope.name, "routing", f"{way.interface} leads nowhere")
        return self._down(scope, leg, hop, packet)

    def _down(self, scope: Scope, leg: Leg, hop: int, packet: Packet) -> Outcome:
        """From the router into a bridging domain."""
        mac = scope.neighbours.get((leg.name, hop))
        if mac is None:
            answering = (scope.member(name) for name in scope.who_has(hop))
            mac = next(
                (one.mac for one in answering if one and (one.bridge, scope.vlan_of(one)) == (leg.bridge, leg.vlan)),
                None,
            )
        device = scope.under(leg.bridge, leg.vlan, mac) if mac else None
        if mac is None or device is None:
            return Lost(scope.name, "link", "nobody has the address")
        packet.ether_source, packet.ether_destination = leg.mac, mac
        return AtPort(scope, device, packet)

    def _outwards(self, scope: Scope, link: Uplink, hop: int, packet: Packet) -> Outcome:
        segment = (link.peer_scope, link.peer_bridge)
        if link.peer_scope:
            peer = self.view.scopes.get(link.peer_scope)
            if peer is None or not isinstance(peer.links.get(link.peer_bridge), Bridge):
                return Lost(scope.name, "uplink", "the external bridge is not there")
        mac = scope.neighbours.get((link.name, hop))
        if mac is not None:
            return self._across(scope, link, mac, packet)
        for other, place in self.view.holders(hop):
            if (place.peer_scope, place.peer_bridge) == segment and other is not scope:
                onward = replace(packet, flow=None, mark=0, priority="none", is_reply=False)
                return self._in(other, place.name, onward)
        if hop != packet.destination and self.view.gateway not in (None, hop):
            return Lost(scope.name, "uplink", "nobody has the gateway's address")
        return Beyond(packet)

    def _across(self, scope: Scope, link: Uplink, mac: str, packet: Packet) -> Outcome:
        """To whoever has the MAC on the link's segment; nobody is asked."""
        for other, place in self.view.on_segment(link):
            if place.mac == mac and other is not scope:
                onward = replace(packet, flow=None, mark=0, priority="none", is_reply=False)
                return self._in(other, place.name, onward)
        return Lost(scope.name, "uplink", f"nobody has the MAC {mac}")

    # --- connection tracking and NAT ----------------------------------------------------------------------------

    def _prerouting(self, scope: Scope, packet: Packet) -> Lost | None:
        table = scope.tables[Family.INET]
        if not table.declared:
            self._track(scope, packet)
            return None
        chains = table.hook("prerouting")
        for chain in chains:
            if _priority(chain) < _CONNTRACK and (stop := table.run_base(chain, packet)):
                return _lost(scope, stop, packet)
        self._track(scope, packet)
        for chain in chains:
            if _priority(chain) >= _CONNTRACK and (not _is_nat(chain) or _is_new(packet)):
                stop = table.run_base(chain, packet)
                if stop:
                    return _lost(scope, stop, packet)
        _translate_destination(packet)
        return None

    def _postrouting(self, scope: Scope, packet: Packet) -> Stop | None:
        table = scope.tables[Family.INET]
        if table.declared:
            for chain in table.hook("postrouting"):
                if not _is_nat(chain) or _is_new(packet):
                    stop = table.run_base(chain, packet)
                    if stop:
                        return stop
        _translate_source(scope, packet)
        return None

    def _track(self, scope: Scope, packet: Packet) -> None:
        """Find the packet's flow in this namespace, or begin one."""
        if packet.flow is not None or packet.state == INVALID:
            return
        ends = packet.about if packet.about is not None else packet.ends
        for flow in self.flows.get(scope.name, ()):
            if ends in (flow.original, flow.reply):
                packet.flow, packet.is_reply = flow, ends == flow.reply
                packet.state = RELATED if packet.about is not None else ESTABLISHED
                return
        if packet.about is None:
            packet.state = NEW
            packet.flow = Flow(packet.protocol, packet.ends, packet.ends.reversed)

    def _confirm(self, scope: Scope, packet: Packet) -> None:
        flow = packet.flow
        if flow is not None and not flow.confirmed:
            flow.confirmed = True
            self.flows.setdefault(scope.name, []).append(flow)


def _is_new(packet: Packet) -> bool:
    return packet.flow is not None and not packet.flow.confirmed


def _is_nat(chain: Chain) -> bool:
    return chain.base is not None and chain.base.kind == "nat"


def _priority(chain: Chain) -> int:
    assert chain.base is not None
    return chain.base.priority


def _translate_destination(packet: Packet) -> None:
    flow = packet.flow
    if flow is None:
        return
    if packet.translation:
        kind, *place = packet.translation
        packet.translation = ()
        if kind == "dnat":
            address, port = (int(one) for one in (*place, packet.destination_port)[:2])
            flow.reply.source, flow.reply.source_port, flow.dnat = address, port, True
    ends = flow.original if packet.is_reply else flow.reply
    if flow.snat if packet.is_reply else flow.dnat:
        packet.destination, packet.destination_port = ends.source, ends.source_port


def _translate_source(scope: Scope, packet: Packet) -> None:
    flow = packet.flow
    if flow is None:
        return
    if packet.translation:
        kind, *place = packet.translation
        packet.translation = ()
        address = int(place[0]) if place else next(iter(scope.addresses.get(packet.oif, ())), 0)
        if kind in ("snat", "masquerade"):
            flow.reply.destination, flow.snat = address, True
    if packet.about is not None:
        packet.about = flow.original.reversed if packet.is_reply else flow.reply.reversed
    if packet.is_reply and flow.dnat:
        packet.source, packet.source_port = flow.original.destination, flow.original.destination_port
    elif not packet.is_reply and flow.snat:
        packet.source, packet.source_port = flow.reply.destination, flow.reply.destination_port


def _martian(scope: Scope, interface: str, packet: Packet) -> str:
    """What the kernel refuses to route by its source, with strict reverse path filtering."""
    source = packet.source
    if source >> 24 in (0, 127) or source >> 28 >= 14:
        return "the source is no host"
    if scope.is_local(source):
        return "the source is the router itself"
    if scope.sysctls.get("net/ipv4/conf/all/rp_filter") == "1":
        back = scope.way(source)
        if back is None or back.interface != interface:
            return "the source is elsewhere"
    return ""


def _lost(scope: Scope, stop: Stop, packet: Packet) -> Lost:
    return Lost(scope.name, stop.chain, stop.rule, packet.counted[-1] if packet.counted else "")
