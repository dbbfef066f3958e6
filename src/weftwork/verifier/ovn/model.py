"""The reference model of northbounds: what becomes of a packet, from the rows alone. It never sees the intent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.program.ovn import AclDirection, LogicalRouterPort, LogicalSwitchPort
from weftwork.program.resource import Resource
from weftwork.verifier.ovn.expressions import parse
from weftwork.verifier.ovn.packet import ECHO_REPLY, ECHO_REQUEST, ICMP, TCP, UDP, UNREACHABLE, Packet
from weftwork.verifier.ovn.rows import Rows, address_of
from weftwork.verifier.packet import Inside, Outside, Phase, Probe, Router, Seen, Verdict
from weftwork.verifier.reasons import Reason, ReasonCode

_HOPS_MAX = 8


@dataclass(frozen=True, slots=True)
class Lost:
    where: str


@dataclass(frozen=True, slots=True)
class AtPort:
    port: LogicalSwitchPort
    packet: Packet


@dataclass(frozen=True, slots=True)
class AtRouter:
    scope: str
    packet: Packet


@dataclass(frozen=True, slots=True)
class Beyond:
    packet: Packet


Outcome = AtPort | AtRouter | Beyond | Lost


class OvnModel:
    """`owners` says whose a scope is: rows name VPCs, not projects."""

    def __init__(self, program: Iterable[Resource] | Rows, owners: Mapping[str, ProjectKey]) -> None:
        self._rows = program if isinstance(program, Rows) else Rows(program)
        self._owners = owners
        self._scopes = {owner: scope for scope, owner in owners.items()}

    def verdict(self, probe: Probe) -> Verdict:
        journey = Journey(self._rows)
        outcome = self._send(journey, probe)
        if probe.phase in (Phase.REPLY, Phase.ERROR) and not isinstance(outcome, Lost):
            outcome = _answer(journey, outcome, error=probe.phase is Phase.ERROR)
        return self._verdict(outcome)

    def _send(self, journey: "Journey", probe: Probe) -> Outcome:
        stray = probe.phase is Phase.STRAY
        packet = Packet(
            source=0,
            destination=int(probe.destination),
            protocol=probe.protocol,
            source_port=probe.source_port,
            destination_port=probe.destination_port,
            icmp_type=ECHO_REPLY if stray else ECHO_REQUEST,
            is_stray=stray,
        )
        match probe.source:
            case Outside(address):
                packet.source = int(address)
                return journey.from_outside(packet)
            case Inside(owner, port_id):
                port = self._rows.switch_ports.get(f"{self._scopes.get(owner)}.port.{port_id}")
                own = address_of(port) if port else None
                if port is None or own is None:
                    return Lost("no such port")
                packet.source = own if probe.source_address is None else int(probe.source_address)
                return journey.from_port(port, packet)

    def _verdict(self, outcome: Outcome) -> Verdict:
        match outcome:
            case Lost(where):
                return Verdict(None, None, (Reason(ReasonCode.NOBODY_THERE, None, where),))
            case AtPort(port, packet):
                end = Inside(self._owners[port.scope], port.name.removeprefix(f"{port.scope}.port."))
                return Verdict(end, _seen(packet), (Reason(ReasonCode.PART_OF_FLOW),))
            case AtRouter(scope, packet):
                router = Router(self._owners[scope])
                return Verdict(router, _seen(packet), (Reason(ReasonCode.GATEWAY_PING, router.owner),))
            case Beyond(packet):
                there = Outside(IPv4Address(packet.destination))
                return Verdict(there, _seen(packet), (Reason(ReasonCode.PART_OF_FLOW),))


def _answer(journey: "Journey", outcome: AtPort | AtRouter | Beyond, *, error: bool) -> Outcome:
    got = outcome.packet
    packet = Packet(
        source=got.destination,
        source_port=got.destination_port,
        destination=got.source,
        destination_port=got.source_port,
        protocol=ICMP if error else got.protocol,
        icmp_type=UNREACHABLE if error else ECHO_REPLY,
        is_new=False,
        flow=got.flow,
    )
    match outcome:
        case AtPort(port, _):
            return journey.from_port(port, packet)
        case AtRouter(scope, _):
            return journey.from_router(scope, packet)
        case Beyond():
            return journey.from_outside(packet)


@dataclass
class Journey:
    """Of one packet. `is_part`: the rows are those of some VPCs, without the external switch."""

    rows: Rows
    is_part: bool = False
    _hops: int = field(default=0)

    def from_port(self, port: LogicalSwitchPort, packet: Packet) -> Outcome:
        self._hops = 0
        rows, switch = self.rows, port.switch
        if port.port_security and packet.source not in _secured(port):
            return Lost("port security")
        target = self._next(port, packet)
        if packet.is_new and target is not None and target.name == port.name:
            return Lost("its own address")
        packet.to_many = target is None and _is_many(packet.destination)
        packet.inport = port.name
        refused = self._refused(switch, AclDirection.FROM_PORT, packet)
        if refused:
            return refused
        row = rows.switches.get(switch)
        if row is None:
            return Lost("no switch")
        inner = (
            rows.forward(row.scope, row.load_balancer_group, packet) if packet.is_new and not packet.is_stray else None
        )
        if inner is not None:
            outer = (packet.destination, packet.destination_port)
            packet.flow.forwarded = (switch, outer, inner)
            packet.destination, packet.destination_port = inner
        refused = self._refused(switch, AclDirection.FROM_PORT, packet, after=True)
        if refused:
            return refused
        if target is None:
            return Lost("nobody on the link")
        return self._deliver(target, packet)

    def from_outside(self, packet: Packet) -> Outcome:
        """From the physical network: to who answers for the address, else to every router there."""
        self._hops = 0
        outcome: Outcome = Lost("nobody outside has the address")
        owning = self.rows.ways_outside_to(packet.destination)
        for port in sorted(owning or self.rows.ways_outside(), key=lambda one: one.name):
            outcome = self._deliver(port, replace(packet))
            if not isinstance(outcome, Lost):
                break
        return outcome

    def from_beyond(self, leg: LogicalRouterPort, packet: Packet) -> Outcome:
        """From outside, past the external switch."""
        self._hops = 0
        return self._into(leg, packet)

    def from_router(self, scope: str, packet: Packet) -> Outcome:
        self._hops = 0
        for router in self.rows.routers_of(scope):
            return self._route(router.name, packet)
        return Lost("no router")

    # --- switches -------------------------------------------------------------------------------------------------

    def _next(self, port: LogicalSwitchPort, packet: Packet) -> LogicalSwitchPort | None:
        """To whose MAC a guest sends: a neighbour's on its own link, else its router's."""
        way = self.rows.way_on(port.switch)
        leg = self.rows.leg(way) if way else None
        networks = [IPv4Interface(one).network for one in leg.networks] if leg else []
        destination = IPv4Address(packet.destination)
        if _is_many(packet.destination) or any(destination == one.broadcast_address for one in networks):
            return None
        if neighbour := self.rows.guest_on(port.switch, packet.destination):
            return neighbour
        is_gateway = leg is not None and any(IPv4Interface(one).ip == destination for one in leg.networks)
        if any(destination in one for one in networks) and not is_gateway:
            return None
        return way

    def _deliver(self, port: LogicalSwitchPort, packet: Packet) -> Outcome:
        packet.outport = port.name
        refused = self._refused(port.switch, AclDirection.TO_PORT, packet, tracked=not port.type)
        if refused:
            return refused
        if port.type == "router":
            leg = self.rows.leg(port)
            return self._into(leg, packet) if leg else Lost("a way without a router")
        if port.type:
            return Beyond(packet)
        if port.port_security and packet.destination not in _secured(port):
            return Lost("port security of the receiver")
        forwarded = packet.flow.forwarded
        is_answer = not packet.is_new and forwarded is not None and forwarded[0] == port.switch
        if forwarded and is_answer and (packet.source, packet.source_port) == forwarded[2]:
            packet.source, packet.source_port = forwarded[1]
        return AtPort(port, packet)

    def _refused(
        self, switch: str, direction: AclDirection, packet: Packet, *, after: bool = False, tracked: bool = True
    ) -> Lost | None:
        """Where connections are tracked, answers pass; what could only be one does not, nor what is to port 0.

        At ports to routers and to physical networks none are.
        """
        if tracked and self.rows.is_stateful(switch):
            if packet.is_stray or (packet.protocol in (TCP, UDP) and packet.is_new and not packet.destination_port):
                return Lost(f"{switch}: invalid")
            if not packet.is_new:
                return None
        allowed = self.rows.allows(switch, direction, packet, after=after)
        return None if allowed else Lost(f"{switch}: {direction.value}{' after' if after else ''}")

    # --- routers --------------------------------------------------------------------------------------------------

    def _into(self, leg: LogicalRouterPort, packet: Packet) -> Outcome:
        self._hops += 1
        if self._hops > _HOPS_MAX:
            return Lost("it goes round and round")
        rows, router = self.rows, leg.router
        packet.inport, packet.outport = leg.name, ""
        hidden = packet.flow.hidden.get(router)
        if not packet.is_new and hidden and packet.destination == hidden[1]:
            packet.destination = hidden[0]
        row = rows.routers.get(router)
        if row is None:
            return Lost("no router")
        inner = rows.forward(row.scope, row.load_balancer_group, packet) if leg.gateway_chassis else None
        if inner is not None and packet.is_new and not packet.is_stray:
            packet.flow.forwarded = (router, (packet.destination, packet.destination_port), inner)
            packet.destination, packet.destination_port = inner
        own = (int(IPv4Interface(one).ip) for port in rows.legs_of(router) for one in port.networks)
        if packet.destination in own:
            if packet.protocol == ICMP and packet.icmp_type == ECHO_REQUEST and packet.is_new:
                return AtRouter(row.scope, packet)
            return Lost("a router offers nothing")
        return self._route(router, packet)

    def _route(self, router: str, packet: Packet) -> Outcome:
        way = self.rows.way(router, packet.destination)
        leg = self.rows.router_ports.get(way.port) if way else None
        if way is None or leg is None:
            return Lost("no route")
        packet.outport = leg.name
        for policy in sorted(self.rows.policies.get(router, ()), key=lambda one: (-one.priority, one.match)):
            if parse(policy.match)(packet, self.rows):
                if policy.action == "drop":
                    return Lost(f"policy {policy.match}")
                break
        if leg.gateway_chassis:
            self._translate(router, packet)
        hop = packet.destination if way.hop is None else way.hop
        if leg.peer:
            peer = self.rows.router_ports.get(leg.peer)
            owns = peer is not None and any(int(IPv4Interface(one).ip) == hop for one in peer.networks)
            return self._into(peer, packet) if peer and owns else Lost("nobody at the other end")
        return self._onto(leg, hop, packet)

    def _translate(self, router: str, packet: Packet) -> None:
        """Towards outside: a source is hidden, and what answers a port forward has its name again."""
        forwarded = packet.flow.forwarded
        if not packet.is_new:
            if (
                forwarded
                and forwarded[0] == router
                and (packet.icmp_type == UNREACHABLE or (packet.source, packet.source_port) == forwarded[2])
            ):
                packet.source, packet.source_port = forwarded[1]
            return
        for nat in sorted(self.rows.nats.get(router, ()), key=lambda one: one.key):
            assert isinstance(nat.logical, IPv4Network)
            if IPv4Address(packet.source) in nat.logical:
                packet.flow.hidden[router] = (packet.source, int(nat.external))
                packet.source = int(nat.external)
                return

    def _onto(self, leg: LogicalRouterPort, hop: int, packet: Packet) -> Outcome:
        way = self.rows.switch_port(leg)
        if way is None:
            return Beyond(packet) if self.is_part and leg.gateway_chassis else Lost("a leg without a switch")
        if self.rows.owns(leg.router, hop):
            return Lost("it is the router's own, and was not translated")
        packet.inport = way.name
        for after in (False, True):
            if refused := self._refused(way.switch, AclDirection.FROM_PORT, packet, after=after, tracked=False):
                return refused
        others = [one for one in self.rows.ways_to(way.switch, hop) if one is not way]
        port = self.rows.guest_on(way.switch, hop) or min(others, key=lambda one: one.name, default=None)
        if port is not None:
            return self._deliver(port, packet)
        if self.rows.is_outside(way.switch):
            return Beyond(packet)
        return Lost("nobody has the address")


def _secured(port: LogicalSwitchPort) -> set[int]:
    return {int(IPv4Address(word)) for one in port.port_security for word in one.split()[1:]}


def _is_many(address: int) -> bool:
    return address >> 28 == 14 or address == 0xFFFFFFFF


def _seen(packet: Packet) -> Seen:
    return Seen(
        IPv4Address(packet.source), packet.source_port, IPv4Address(packet.destination), packet.destination_port
    )
