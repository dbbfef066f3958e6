"""The reference model: what becomes of one packet, from intent alone.

Written from the specification (N §3, §6–9), so that it can disagree with the compilers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import PolicyRule
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Protocol, Rule, SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Phase, Probe, Router, Seen, Verdict
from weftwork.verifier.policies import decided
from weftwork.verifier.reasons import Reason, ReasonCode

TUNNEL_PROTOCOLS = frozenset({4, 41, 47, 97, 115, 137})
"""IP in IP, IPv6 in IP, GRE, EtherIP, L2TPv3, MPLS in IP (IANA protocol numbers)."""

TUNNEL_PORTS = frozenset({4754, 4755, 4789, 4790, 6081, 6635, 8472})
"""GRE, VXLAN, VXLAN-GPE, Geneve, MPLS in UDP, and VXLAN before it had a number (IANA service names)."""

DHCP_SERVER, DHCP_CLIENT = 67, 68
DHCP_PORTS = frozenset({DHCP_SERVER, DHCP_CLIENT})

NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.ICMP: ICMP}
NOWHERE = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")))


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a flow as a security group sees it: no groups unless it is a port of the VPC or of a peer.

    `groups` as the rules that judge name them: those of another project with it before. `of_vpc` as policies of the VPC
    name them.
    """

    address: IPv4Address
    groups: tuple[str, ...] = ()
    of_vpc: tuple[str, ...] = ()


class Vpc:
    """One project's intent, indexed by address. Only attached ports are members of groups."""

    def __init__(self, owner: ProjectKey, intent: Intent) -> None:
        self.owner = owner
        self.project = project = intent[owner]
        self._intent = intent
        borrowers = {share.to for share in project.shares.values()} & intent.keys()
        here = (port for one in (owner, *borrowers) for port in intent[one].ports.values() if port.home == owner)
        self.ports = {address: port for port in here if (address := address_of(port)) is not None}
        self.gateways = {subnet.gateway for subnet in project.subnets.values()}
        self.dnats = {(one.external_ip, NUMBERS[one.protocol], one.external_port): one for one in dnats_of(project)}
        self.snat = snat_of(project)
        self.peers: list[Vpc] = []
        self.external = {one.external_ip for one in dnats_of(project)} | ({self.snat} if self.snat else set())

    def holds(self, address: IPv4Address) -> bool:
        return self.project.vpc is not None and address in self.project.vpc.cidr

    def peer_at(self, address: IPv4Address) -> "Vpc | None":
        """The peered VPC that holds an address."""
        return next((peer for peer in self.peers if peer.holds(address)), None)

    def groups_of(self, port: Port) -> Iterator[SecurityGroup]:
        """The groups that judge a port: its own project's, wherever it is."""
        found = (self._intent[port.owner].groups.get(name) for name in port.groups)
        return (group for group in found if group)

    def called(self, judge: ProjectKey, port: Port | None, whose: "Vpc") -> tuple[str, ...]:
        """What rules of `judge` call the groups of a port of the VPC `whose`, for ports of this one.

        A port counts while it is attached. Of a peer, those in the VPC of their own project do.
        """
        if port is None or port.attachment is None or not (whose is self or port.home == port.owner):
            return ()
        return port.groups if port.owner == judge else tuple(str(GroupRef(name, port.owner)) for name in port.groups)

    def subnet_of(self, port: Port) -> Subnet:
        return self.project.subnets[port.subnet]

    def reason(self, code: ReasonCode, thing: str = "", rule: Rule | PolicyRule | None = None) -> Reason:
        return Reason(code, self.owner, thing, rule)


@dataclass(frozen=True, slots=True)
class Traits:
    """In what data planes may differ, and in nothing else: docs/reference/data-planes.md says which has which.

    `hairpin_shows_gateway`: who is called by an external address of its own VPC sees its gateway, else the caller.
    `carries_port_zero`: TCP and UDP have a port 0.
    """

    hairpin_shows_gateway: bool = True
    carries_port_zero: bool = True
    carries_fragments: bool = True
    """Of datagrams that begin a flow; of what belongs to one, all do."""
    errors_leave: bool = True
    """Who called from outside gets ICMP errors of the guest that a DNAT led to."""


LINUX = Traits()
OVN_IN_USER_SPACE = Traits(
    hairpin_shows_gateway=False, carries_port_zero=False, carries_fragments=False, errors_leave=False
)


class Model:
    """An intent to be asked about many packets; it must not change meanwhile."""

    def __init__(self, intent: Intent, traits: Traits = LINUX) -> None:
        self._traits = traits
        self._vpcs = {owner: Vpc(owner, intent) for owner in intent}
        for vpc in self._vpcs.values():
            vpc.peers = [
                self._vpcs[half.peer]
                for half in vpc.project.peerings.values()
                if half.peer in self._vpcs and vpc.owner in self._vpcs[half.peer].project.peerings
            ]
        self._by_external = {address: vpc for vpc in self._vpcs.values() for address in vpc.external}
        self._claimed = {one.project.snat.external_ip for one in self._vpcs.values() if one.project.snat}

    def verdict(self, probe: Probe) -> Verdict:
        flow = self._flow(probe)
        match probe.phase:
            case Phase.OPENING | Phase.MIDDLE:
                return flow
            case Phase.REPLY | Phase.ERROR:
                return self._answer(probe, flow)
            case Phase.STRAY:
                return _denied(Reason(ReasonCode.NOT_OF_A_FLOW))

    def _flow(self, probe: Probe) -> Verdict:
        flow = self._judged(probe)
        if self._traits.carries_port_zero or probe.protocol not in (TCP, UDP) or flow.seen is None:
            return flow
        if 0 in (probe.destination_port, flow.seen.destination_port):
            return _denied(Reason(ReasonCode.PORT_ZERO))
        return flow

    def _judged(self, probe: Probe) -> Verdict:
        match probe.source:
            case Inside(owner, port_id):
                vpc = self._vpcs.get(owner)
                port = vpc.project.ports.get(port_id) if vpc else None
                address = address_of(port) if port else None
                if vpc is None or port is None or address is None:
                    return _denied(Reason(ReasonCode.SENDER_NOT_FOUND, owner, port_id))
                return self._from_port(self._vpcs[port.home], port, address, probe)
            case Outside(address):
                return self._from_outside(_sent(address, probe), probe)

    def _from_port(self, vpc: Vpc, port: Port, address: IPv4Address, probe: Probe) -> Verdict:
        stops = list(_guard(vpc, port, address, probe))
        onward = self._onward(vpc, port, _sent(address, probe), probe)
        if not stops:
            return onward
        known = {stop.code for stop in stops}
        return _denied(*stops, *(one for one in onward.reasons if not onward.delivered and one.code not in known))

    def _onward(self, vpc: Vpc, port: Port, seen: Seen, probe: Probe) -> Verdict:
        """From a port that is honest, to wherever the destination is."""
        destination = seen.destination
        if not is_one_host(destination):
            return _denied(vpc.reason(ReasonCode.NOT_UNICAST))
        if destination == seen.source:
            return _denied(vpc.reason(ReasonCode.OWN_ADDRESS, port.id))
        if destination in vpc.gateways:
            return _to_router(vpc, seen, probe)
        if destination in vpc.external:
            return self._hairpin(vpc, port, seen, probe)
        if vpc.holds(destination):
            return _to_port(vpc, port, vpc, seen, probe)
        peer = vpc.peer_at(destination)
        if peer is not None:
            return _to_peer(vpc, port, peer, seen, probe)
        return self._outwards(vpc, port, seen, probe)

    def _outwards(self, vpc: Vpc, port: Port, seen: Seen, probe: Probe) -> Verdict:
        allowed, stops = _egress(vpc, port, Peer(seen.destination), probe.protocol, seen.destination_port)
        if vpc.snat is None:
            halves = (
                half for half in vpc.project.peerings.values() if half.peer not in {one.owner for one in vpc.peers}
            )
            pending = (vpc.reason(ReasonCode.NOT_PEERED, half.name) for half in halves)
            return _denied(*stops, *pending, vpc.reason(ReasonCode.NO_SNAT))
        if stops:
            return _denied(*stops)
        passed = (allowed, vpc.reason(ReasonCode.SNAT, str(vpc.snat)))
        outside = replace(seen, source=vpc.snat)
        if outside.destination in self._by_external:
            arrived = self._from_outside(outside, probe)
            return replace(arrived, reasons=(*passed, *arrived.reasons)) if arrived.delivered else arrived
        if outside.destination in self._claimed:
            return _denied(Reason(ReasonCode.NOBODY_THERE))
        return Verdict(Outside(outside.destination), outside, passed)

    def _hairpin(self, vpc: Vpc, port: Port, seen: Seen, probe: Probe) -> Verdict:
        """Groups see the two guests; the receiver sees its gateway, so that it answers by the same way."""
        dnat = vpc.dnats.get((seen.destination, probe.protocol, probe.destination_port))
        if dnat is None:
            return _denied(vpc.reason(ReasonCode.NO_DNAT))
        arrived = _to_port(vpc, port, vpc, translated(seen, dnat), probe)
        if not isinstance(arrived.receiver, Inside) or arrived.seen is None:
            return arrived
        ways = (vpc.reason(ReasonCode.DNAT, dnat.name), vpc.reason(ReasonCode.HAIRPIN))
        if not self._traits.hairpin_shows_gateway:
            return replace(arrived, reasons=(*ways, *arrived.reasons))
        gateway = vpc.subnet_of(vpc.ports[arrived.seen.destination]).gateway
        assert isinstance(gateway, IPv4Address)
        return Verdict(arrived.receiver, replace(arrived.seen, source=gateway), (*ways, *arrived.reasons))

    def _from_outside(self, seen: Seen, probe: Probe) -> Verdict:
        """A packet on the external network, as it is seen there."""
        vpc = self._by_external.get(seen.destination)
        if vpc is None:
            return _denied(Reason(ReasonCode.NO_DNAT))
        stops = []
        if vpc.holds(seen.source) or vpc.peer_at(seen.source) or not is_one_host(seen.source):
            stops.append(vpc.reason(ReasonCode.NOT_FROM_OUTSIDE))
        dnat = vpc.dnats.get((seen.destination, probe.protocol, probe.destination_port))
        if dnat is None:
            return _denied(*stops, vpc.reason(ReasonCode.NO_DNAT))
        arrived = _ingress_of(vpc, translated(seen, dnat), Peer(seen.source), probe)
        if stops or not arrived.delivered:
            return _denied(*stops, *(() if arrived.delivered else arrived.reasons))
        return replace(arrived, reasons=(vpc.reason(ReasonCode.DNAT, dnat.name), *arrived.reasons))

    def _answer(self, probe: Probe, flow: Verdict) -> Verdict:
        """A reply or an ICMP error of the flow's receiver: back to who began it, in that one's words."""
        if flow.seen is None:
            return _denied(Reason(ReasonCode.NOT_OF_A_FLOW), *flow.reasons)
        codes = {reason.code for reason in flow.reasons}
        from_outside = ReasonCode.DNAT in codes and ReasonCode.HAIRPIN not in codes
        if probe.phase is Phase.ERROR and from_outside and not self._traits.errors_leave:
            return _denied(Reason(ReasonCode.ERROR_STAYS), *flow.reasons)
        seen = Seen(probe.destination, probe.destination_port, self._address(probe.source), probe.source_port)
        return Verdict(probe.source, seen, (Reason(ReasonCode.PART_OF_FLOW), *flow.reasons))

    def _address(self, end: Inside | Outside) -> IPv4Address:
        if isinstance(end, Outside):
            return end.address
        address = address_of(self._vpcs[end.owner].project.ports[end.port])
        assert address is not None, "a port without an address begins no flow"
        return address


def verdict(intent: Intent, probe: Probe) -> Verdict:
    """One question. For many about the same intent, make a Model once."""
    return Model(intent).verdict(probe)


def survives(before: Verdict, after: Verdict) -> bool:
    """Does a flow that was delivered as `before` go on when a new flow would be judged as `after`?

    Only if it would come to the same receiver in the same words: a flow does not outlive its translation.
    """
    return before.delivered and (before.receiver, before.seen) == (after.receiver, after.seen)


def address_of(port: Port) -> IPv4Address | None:
    return next((one for one in port.addresses if isinstance(one, IPv4Address)), None)


def snat_of(project: ProjectIntent) -> IPv4Address | None:
    """What the VPC's guests are outside, when they can go there."""
    snat = project.snat
    return snat.external_ip if snat and snat.enabled and isinstance(snat.external_ip, IPv4Address) else None


def is_one_host(address: IPv4Address) -> bool:
    """Neither multicast nor broadcast, and no address that never leaves a host (RFC 6890)."""
    return not any(address in one for one in NOWHERE)


def translated(seen: Seen, dnat: Dnat) -> Seen:
    assert isinstance(dnat.internal_ip, IPv4Address)
    return replace(seen, destination=dnat.internal_ip, destination_port=dnat.internal_port)


def allows(rule: Rule, protocol: int, destination_port: int, peer: Peer) -> bool:
    """A rule of ALL with a range of ports means the protocols that have ports."""
    match rule.peer:
        case GroupRef() as group:
            is_peer = str(group) in peer.groups
        case IPv4Network() as network:
            is_peer = peer.address in network
        case _:
            is_peer = False
    if rule.protocol is Protocol.ALL:
        is_protocol = rule.ports is None or protocol in (TCP, UDP)
    else:
        is_protocol = protocol == NUMBERS[rule.protocol]
    return is_peer and is_protocol and (rule.ports is None or rule.ports.min <= destination_port <= rule.ports.max)


def guarded(protocol: int, source_port: int, destination_port: int) -> ReasonCode | None:
    """Why no guest may send or get such a packet, whoever the other end is: so no flow has answers that are refused."""
    ports = {source_port, destination_port} if protocol == UDP else set()
    if protocol in TUNNEL_PROTOCOLS or ports & TUNNEL_PORTS:
        return ReasonCode.TUNNEL
    if ports & DHCP_PORTS:
        return ReasonCode.ROGUE_DHCP
    return None


def dnats_of(project: ProjectIntent) -> Iterable[Dnat]:
    return (one for one in project.dnats.values() if isinstance(one.external_ip, IPv4Address))


def _sent(address: IPv4Address, probe: Probe) -> Seen:
    return Seen(address, probe.source_port, probe.destination, probe.destination_port)


def _denied(*reasons: Reason) -> Verdict:
    return Verdict(None, None, reasons)


def _guard(vpc: Vpc, port: Port, address: IPv4Address, probe: Probe) -> Iterator[Reason]:
    if port.attachment is None:
        yield vpc.reason(ReasonCode.SENDER_NOT_ATTACHED, port.id)
    if probe.source_address not in (None, address):
        yield vpc.reason(ReasonCode.SPOOFED_SOURCE, port.id)
    refused = guarded(probe.protocol, probe.source_port, probe.destination_port)
    if refused:
        yield vpc.reason(refused, port.id)


def _to_router(vpc: Vpc, seen: Seen, probe: Probe) -> Verdict:
    if probe.protocol == ICMP:
        return Verdict(Router(vpc.owner), seen, (vpc.reason(ReasonCode.GATEWAY_PING),))
    return _denied(vpc.reason(ReasonCode.ROUTER_OFFERS_NOTHING))


def _to_peer(vpc: Vpc, port: Port, peer: Vpc, seen: Seen, probe: Probe) -> Verdict:
    """The sender's groups judge it here, the receiver's there; the peer's router has nothing to say to anybody."""
    if seen.destination in peer.gateways:
        return _denied(peer.reason(ReasonCode.ROUTER_OFFERS_NOTHING))
    arrived = _to_port(vpc, port, peer, seen, probe)
    if not arrived.delivered:
        return arrived
    return replace(arrived, reasons=(vpc.reason(ReasonCode.PEERING, str(peer.owner)), *arrived.reasons))


def _to_port(vpc: Vpc, port: Port, there: Vpc, seen: Seen, probe: Probe) -> Verdict:
    """To a port of the VPC `there`: the sender's own, or a peer."""
    receiver = there.ports.get(seen.destination)
    other = Peer(seen.destination, vpc.called(port.owner, receiver, there), vpc.called(vpc.owner, receiver, there))
    allowed, stops = _egress(vpc, port, other, probe.protocol, seen.destination_port)
    judge = receiver.owner if receiver else there.owner
    known = Peer(seen.source, there.called(judge, port, vpc), there.called(there.owner, port, vpc))
    arrived = _ingress_of(there, seen, known, probe)
    if arrived.delivered and not stops:
        return replace(arrived, reasons=(allowed, *arrived.reasons))
    return _denied(*stops, *(() if arrived.delivered else arrived.reasons))


def _ingress_of(vpc: Vpc, seen: Seen, peer: Peer, probe: Probe) -> Verdict:
    """At the port that has the destination address."""
    receiver = vpc.ports.get(seen.destination)
    if receiver is None:
        return _denied(vpc.reason(ReasonCode.NOBODY_THERE))
    allowed, stops = _ingress(vpc, receiver, peer, probe.protocol, seen.destination_port)
    refused = guarded(probe.protocol, seen.source_port, seen.destination_port)
    if refused:
        stops.insert(0, vpc.reason(refused, receiver.id))
    if receiver.attachment is None:
        stops.insert(0, vpc.reason(ReasonCode.RECEIVER_NOT_ATTACHED, receiver.id))
    return _denied(*stops) if stops else Verdict(Inside(receiver.owner, receiver.id), seen, (allowed,))


def _egress(vpc: Vpc, port: Port, peer: Peer, protocol: int, destination_port: int) -> tuple[Reason, list[Reason]]:
    """What the sender's groups say, and everything of the sender's that stops it."""
    stops = _policies(vpc, port, peer, protocol, destination_port, outwards=True)
    for group in vpc.groups_of(port):
        for rule in group.egress:
            if allows(rule, protocol, destination_port, peer):
                return Reason(ReasonCode.EGRESS_RULE, group.owner, group.name, rule), stops
    nothing = vpc.reason(ReasonCode.NO_EGRESS_RULE, port.id)
    return nothing, [*stops, nothing]


def _ingress(vpc: Vpc, port: Port, peer: Peer, protocol: int, destination_port: int) -> tuple[Reason, list[Reason]]:
    """What the receiver's groups say, and everything of the receiver's that stops it."""
    stops = _policies(vpc, port, peer, protocol, destination_port, outwards=False)
    for group in vpc.groups_of(port):
        for rule in group.ingress:
            if allows(rule, protocol, destination_port, peer):
                return Reason(ReasonCode.INGRESS_RULE, group.owner, group.name, rule), stops
    nothing = vpc.reason(ReasonCode.NO_INGRESS_RULE, port.id)
    return nothing, [*stops, nothing]


def _policies(
    vpc: Vpc, port: Port, peer: Peer, protocol: int, destination_port: int, *, outwards: bool
) -> list[Reason]:
    """The policy that denies it, if one does. They are those of the VPC, whoever's the port is."""
    own = address_of(port)
    assert own is not None, "a port without an address neither sends nor receives"
    found = decided(vpc.project, own, peer.address, peer.of_vpc, protocol, destination_port, outwards=outwards)
    if found is None or found.is_allowed:
        return []
    code = ReasonCode.POLICY_DENIED if found.rule else ReasonCode.ISOLATED
    return [vpc.reason(code, found.policy.name, found.rule)]
