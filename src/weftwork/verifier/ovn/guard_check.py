"""What no guest may send or get, whatever its groups say, and what every guest may: asked of the ACLs that are in force
on all switches of the VPC, and of those in front of its way outside."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address

from weftwork.program.ovn import AclAction, AclDirection, LogicalSwitchPort
from weftwork.verifier.model import DHCP_CLIENT, DHCP_SERVER, NOWHERE, TUNNEL_PORTS, TUNNEL_PROTOCOLS, snat_of
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.acls import Said, Stage
from weftwork.verifier.ovn.expressions import ANYTHING
from weftwork.verifier.ovn.look import FAR_AWAY, SOURCE_PORT, Look
from weftwork.verifier.ovn.packet import ECHO_REQUEST, ICMP, TCP, UDP, UNREACHABLE, Packet
from weftwork.verifier.ovn.stage import GOING, RECEIVED
from weftwork.verifier.packet import Inside, Outside, Probe
from weftwork.verifier.violation import Fault, Violation

SENT: Stage = (AclDirection.FROM_PORT, False)
_GUEST = "guest"
_FIN, _RST = 1, 4
_ROUTERS_WORDS = {SENT: "send to guests", GOING: "send to guests", RECEIVED: "get from guests"}
_WORDS = {SENT: "send", GOING: "send", RECEIVED: "get"}
_BROADCAST = IPv4Address("255.255.255.255")


class _Fate(Enum):
    PASSES, REFUSED, DROPPED_BEHIND = range(3)


@dataclass(frozen=True, slots=True)
class _Asked:
    words: str
    packet: Packet
    passes: bool = False


@dataclass(slots=True)
class _Names:
    groups: frozenset[str]
    look: Look

    def has_port(self, group: str, port: str) -> bool:
        return port == _GUEST and group in self.groups

    def has_address(self, name: str, address: int) -> bool:
        return self.look.rows.has_address(name, address)


def check_guard(look: Look) -> Iterator[Violation]:
    """With a guest that is in every group of the project, so that no group's rule comes before the guard's."""
    if look.cidr is None:
        return
    if look.everywhere not in look.rows.port_groups:
        yield look.proof(Fault.DEFENCE, f"the port group {look.everywhere} is not there.")
    groups = frozenset(names.group_called(look.scope, one) for one in look.project.groups)
    for stage, battery in ((SENT, _sent(look)), (GOING, _going(look)), (RECEIVED, _received(look))):
        rules = look.rows.acls.about(stage, groups, look.everywhere)
        for asked in battery:
            fate = _becomes(rules, asked.packet, _Names(groups, look), stage)
            if fate is not (_Fate.PASSES if asked.passes else _Fate.REFUSED):
                yield _told(look, stage, asked)
        yield from _dropped_behind(look, stage)
        yield from _routed(look, stage)


def _becomes(rules: tuple[Said, ...], packet: Packet, said_of: _Names, stage: Stage) -> _Fate:
    """Refused must be by a rule of its own: what only the last one drops, another group may allow tomorrow."""
    packet = replace(packet, inport="" if stage == RECEIVED else _GUEST, outport=_GUEST if stage == RECEIVED else "")
    first = next((one.acl for one in rules if one.holds(packet, said_of)), None)
    if first is None or first.action is not AclAction.DROP:
        return _Fate.PASSES
    return _Fate.DROPPED_BEHIND if first.match == ANYTHING else _Fate.REFUSED


def _dropped_behind(look: Look, stage: Stage) -> Iterator[Violation]:
    """What nothing allows is dropped: asked with a guest without groups, about what no rule of all switches is for."""
    if stage == SENT:
        return
    said_of = _Names(frozenset(), look)
    packet = replace(_some(look), protocol=253, inport=_GUEST, outport=_GUEST)
    met = look.rows.acls.about(stage, said_of.groups, look.everywhere)
    last = next((one for one in met if one.holds(packet, said_of)), None)
    if last is None or last.acl.action is not AclAction.DROP:
        words = _WORDS[stage]
        yield look.proof(look.opening(Fault.DEFENCE), f"a guest without groups may {words} what nothing allows.")


def _routed(look: Look, stage: Stage) -> Iterator[Violation]:
    """What comes from the router or goes to it is judged where guests are, and nowhere else."""
    said_of = _Names(frozenset({look.everywhere}), look)
    met = look.rows.acls.about(stage, said_of.groups, look.everywhere)
    for asked in (*_hostile(look), _Asked("what no rule is for", replace(_some(look), protocol=253))):
        packet = replace(asked.packet, inport=_GUEST, outport=_GUEST)
        first = next((one for one in met if one.holds(packet, said_of)), None)
        if first is not None and first.acl.action is AclAction.DROP:
            yield look.proof(Fault.REACH, f"the router cannot {_ROUTERS_WORDS[stage]} {asked.words}.")
            return


def _told(look: Look, stage: Stage, asked: _Asked) -> Violation:
    can = "cannot" if asked.passes else "can"
    packet = asked.packet
    guest = next((one.id for one in look.some_ports(1)), _GUEST)
    destination = IPv4Address(packet.destination)
    ends = (packet.protocol, packet.source_port, packet.destination_port)
    source = Outside(IPv4Address(packet.source)) if stage == RECEIVED else Inside(look.owner, guest)
    what = f"a guest {can} {_WORDS[stage]} {asked.words}."
    fault = Fault.GUARD if asked.passes else look.opening(Fault.GUARD)
    return Violation(fault, look.scope, what, Probe(source, destination, *ends))


def _some(look: Look) -> Packet:
    """Between two guests that could be."""
    cidr = look.cidr
    assert cidr is not None
    first = int(cidr.network_address)
    return Packet(first + 5, first + 6, TCP, SOURCE_PORT, 80)


def _hostile(look: Look) -> Iterator[_Asked]:
    some = _some(look)
    for protocol in sorted(TUNNEL_PROTOCOLS):
        yield _Asked(f"a tunnel of protocol {protocol}", replace(some, protocol=protocol))
    for port in sorted({*TUNNEL_PORTS, DHCP_SERVER, DHCP_CLIENT}):
        yield _Asked(f"UDP from port {port}", replace(some, protocol=UDP, source_port=port))
        yield _Asked(f"UDP to port {port}", replace(some, protocol=UDP, destination_port=port))
    yield _Asked("a part of a datagram", replace(some, protocol=UDP, is_fragment=True))
    for name, flag in (("RST", _RST), ("FIN", _FIN)):
        yield _Asked(f"a {name} without a flow", replace(some, tcp_flags=flag))


def _sent(look: Look) -> Iterator[_Asked]:
    yield from _hostile(look)
    yield _Asked("to many", replace(_some(look), destination=int(_BROADCAST), to_many=True))
    yield from _questions(look)


def _questions(look: Look) -> Iterator[_Asked]:
    for subnet in look.project.subnets.values():
        if isinstance(subnet.gateway, IPv4Address):
            for address, many in ((_BROADCAST, True), (subnet.gateway, False)):
                ask = Packet(0, int(address), UDP, DHCP_CLIENT, DHCP_SERVER, to_many=many)
                if subnet.dhcp_enabled:
                    yield _Asked(f"its question for an address to {address}", ask, passes=True)


def _going(look: Look) -> Iterator[_Asked]:
    some = _some(look)
    yield _Asked("ARP", replace(some, family="arp"), passes=True)
    for network in NOWHERE:
        for address in (network.network_address, network.broadcast_address):
            yield _Asked(f"to {address}, which is nobody's", replace(some, destination=int(address)))
    yield from _questions(look)
    for gateway in look.gateways():
        ping = replace(some, protocol=ICMP, source_port=0, destination_port=0, destination=int(gateway))
        yield _Asked(f"a ping to its gateway {gateway}", ping, passes=True)
        yield _Asked(f"to a port of the gateway {gateway}", replace(some, destination=int(gateway)))
        yield _Asked(f"an ICMP error to {gateway}", replace(ping, icmp_type=UNREACHABLE))
    for address in look.external():
        yield _Asked(f"to the router's {address}", replace(some, destination=int(address)))
    if not look.rows.gateway or snat_of(look.project) is None:
        yield _Asked("outside, without an address there", replace(some, destination=int(FAR_AWAY)))
    for owner in look.peers().values():
        subnets = look.intent[owner].subnets.values()
        for gateway in sorted(one.gateway for one in subnets if isinstance(one.gateway, IPv4Address)):
            ping = replace(some, protocol=ICMP, source_port=0, destination_port=0, destination=int(gateway))
            yield _Asked(f"a ping to its peer's gateway {gateway}", ping)
    cidrs = look.peer_cidrs()
    for cidr in (*cidrs.values(), *((look.cidr,) if cidrs else ())):
        assert cidr is not None
        yield _Asked(f"to {cidr.network_address}", replace(some, destination=int(cidr.network_address)))


def _received(look: Look) -> Iterator[_Asked]:
    yield from _hostile(look)
    yield _Asked("ARP", replace(_some(look), family="arp"), passes=True)
    for address in look.external():
        yield _Asked(f"what seems to come from the VPC's own {address}", replace(_some(look), source=int(address)))


# --- in front of the way outside ----------------------------------------------------------------------------


def check_from_outside(look: Look, way: LogicalSwitchPort) -> Iterator[Violation]:
    """The stateless rules of the external switch, in front of the VPC's router."""
    addresses = look.external()
    if not addresses or look.cidr is None:
        return
    for asked in _outer(look, addresses):
        packet = replace(asked.packet, outport=way.name)
        acl = look.rows.acls.decides(way.switch, RECEIVED, packet, look.rows)
        if (acl is None or acl.action is not AclAction.DROP) != asked.passes:
            can = "cannot" if asked.passes else "can"
            what = f"its router {can} be sent from outside {asked.words}."
            source = Outside(IPv4Address(packet.source))
            ends = (packet.protocol, packet.source_port, packet.destination_port)
            fault = Fault.REACH if asked.passes else Fault.ISOLATION
            yield Violation(fault, look.scope, what, Probe(source, IPv4Address(packet.destination), *ends))


def _outer(look: Look, addresses: list[IPv4Address]) -> Iterator[_Asked]:
    some = Packet(int(FAR_AWAY), int(addresses[0]), TCP, SOURCE_PORT, 80)
    for address in addresses:
        yield _Asked(f"what is for {address}", replace(some, destination=int(address)), passes=True)
    assert look.cidr is not None
    peers = look.peers()
    for owner, cidr in ((look.owner, look.cidr), *((peers[one], cidr) for one, cidr in look.peer_cidrs().items())):
        for address in (cidr.network_address, cidr.broadcast_address):
            yield _Asked(f"what claims {owner}'s {address}", replace(some, source=int(address)))
    for network in NOWHERE:
        yield _Asked(f"what claims {network.network_address}", replace(some, source=int(network.network_address)))
    other = int(next(one for one in map(IPv4Address, range(int(addresses[-1]) + 1, 1 << 32)) if one not in addresses))
    yield _Asked("what is for another's address", replace(some, destination=other))
    ping = replace(some, protocol=ICMP, source_port=0, destination_port=0, icmp_type=ECHO_REQUEST)
    yield _Asked("a ping", ping)
    yield _Asked("IPv6", replace(some, family="ip6"))
