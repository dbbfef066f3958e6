"""A VPC's peerings: a leg towards each peer's router, its routes, and what may come by it.

Two legs meet in a namespace of the peerings, under a bridge of their own that has no other port. Each VPC makes its
leg, and either may make the bridge: so it does not matter whose part of the program is carried out first. Nobody
asks for addresses there: what a leg leads to is the neighbour that it was made for.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from weftwork.compiler.linux import names
from weftwork.compiler.linux.group import element_of, members
from weftwork.compiler.linux.policy import PEERS_SET
from weftwork.compiler.linux.sysctls import l2_only
from weftwork.compiler.settings import HostProfile
from weftwork.model.intent import Intent, peers_of
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef
from weftwork.model.vpc import Vpc
from weftwork.program.linux import (
    Bridge,
    Family,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    Route,
    Uplink,
)
from weftwork.program.resource import Resource

_LEGS = f'"{names.PEER_LEGS}"'
_REFUSED = 'counter name "spoofed_peer" drop'


def compile_peerings(intent: Intent, vpc: Vpc, profile: HostProfile) -> Iterator[Resource]:
    peers = [peer.vpc for _, peer in peers_of(intent, vpc.owner) if peer.vpc]
    if not peers:
        return
    scope = names.scope_of(vpc)
    yield Namespace(names.PEERINGS_SCOPE, names.PEERINGS_MARK)
    yield from l2_only(names.PEERINGS_SCOPE, profile)
    yield _guard(scope, vpc, peers)
    for peer in peers:
        yield from _leg(scope, vpc, peer, profile)


def memberships_at_peers(intent: Intent, port: Port, address: str) -> Iterator[Resource]:
    """A port's address in the sets of its groups in the namespaces of all peers, whose rules may name these groups."""
    for _, peer in peers_of(intent, port.owner):
        if peer.vpc:
            scope = names.scope_of(peer.vpc)
            for group in (GroupRef(name, port.owner) for name in port.groups):
                # What a peer sends and gets is routed: the bridge family never judges it.
                yield members(scope, Family.INET, group)
                yield NftElement(scope, Family.INET, names.members_set(group), address)


def _leg(scope: str, vpc: Vpc, peer: Vpc, profile: HostProfile) -> Iterator[Resource]:
    # Nobody has a network's own address: here it stands for the router of the peer.
    leg, gateway = names.peer_leg(peer), peer.cidr.network_address
    yield Bridge(
        names.PEERINGS_SCOPE, names.peering_bridge(vpc, peer), names.peering_bridge_mac(vpc, peer), profile.mtu_bytes
    )
    yield Uplink(
        scope=scope,
        name=leg,
        mac=names.external_mac(vpc),
        mtu_bytes=profile.mtu_bytes,
        peer=names.peer_leg_end(vpc, peer),
        peer_scope=names.PEERINGS_SCOPE,
        peer_bridge=names.peering_bridge(vpc, peer),
    )
    yield Neighbour(scope, leg, gateway, names.external_mac(peer))
    yield Route(scope, peer.cidr, gateway, leg)
    yield NftElement(scope, Family.INET, PEERS_SET, _element(peer))


def _guard(scope: str, vpc: Vpc, peers: Iterable[Vpc]) -> NftChain:
    """By a leg comes what is from that peer and for this VPC; from elsewhere, nothing has a peer's address."""
    hook = "type filter hook prerouting priority raw; policy accept;"
    own = _element(vpc)
    honest = (f'iifname "{names.peer_leg(one)}" ip saddr {_element(one)} ip daddr {own} accept' for one in peers)
    strange = (f"iifname {_LEGS} {_REFUSED}", f'iifname "{names.EXTERNAL_LEG}" ip saddr @{PEERS_SET} {_REFUSED}')
    return NftChain(scope, Family.INET, "peer_source", hook, (*honest, *strange))


def _element(vpc: Vpc) -> str:
    assert isinstance(vpc.cidr, IPv4Network)
    return element_of(vpc.cidr)
