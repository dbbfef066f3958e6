"""A VPC's peerings: a leg towards each peer's router, the route, and what may come by it.

Two legs are each other's peers without a switch between. A leg has the network's own address, which nobody else has.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.linux.names import external_mac
from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.guard import GUARD, going
from weftwork.model.intent import Intent, peers_of
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import Acl, AclAction, AclDirection, LogicalRouterPort, RouterPolicy, StaticRoute
from weftwork.program.resource import Resource


def compile_peerings(intent: Intent, vpc: Vpc) -> Iterator[Resource]:
    peers = peer_vpcs(intent, vpc.owner)
    if not peers:
        return
    yield going(vpc, GUARD, f"ip4.dst == {vpc.cidr.network_address}", AclAction.DROP, "denied_router")
    for peer in peers:
        yield from _leg(vpc, peer)


def peer_vpcs(intent: Intent, owner: ProjectKey) -> list[Vpc]:
    return [peer.vpc for _, peer in peers_of(intent, owner) if peer.vpc]


def gateway_at_peers(intent: Intent, vpc: Vpc, gateway: IPv4Address) -> Iterator[Resource]:
    """A peer's router has nothing to say to anybody, though it would answer pings."""
    for peer in peer_vpcs(intent, vpc.owner):
        yield going(peer, GUARD, f"ip4.dst == {gateway}", AclAction.DROP, "denied_router")


def _leg(vpc: Vpc, peer: Vpc) -> Iterator[Resource]:
    scope, router, leg = names.scope_of(vpc), names.router_of(vpc), names.peer_leg(vpc, peer)
    yield LogicalRouterPort(
        scope=scope,
        router=router,
        name=leg,
        mac=external_mac(vpc),
        networks=(f"{vpc.cidr.network_address}/{vpc.cidr.max_prefixlen}",),
        peer=names.peer_leg(peer, vpc),
    )
    yield StaticRoute(scope, router, peer.cidr, str(peer.cidr.network_address), leg)
    for strange in (f"ip4.src != {peer.cidr}", f"ip4.dst != {vpc.cidr}"):
        yield RouterPolicy(scope, router, GUARD, f'inport == "{leg}" && {strange}', "drop")
    yield going(vpc, GUARD, f"ip4.dst == {peer.cidr.network_address}", AclAction.DROP, "denied_router")
    # From outside, nothing has a peer's address.
    yield Acl(
        scope=names.EXTERNAL_SCOPE,
        on=f"switch {names.EXTERNAL_SWITCH}",
        direction=AclDirection.TO_PORT,
        priority=GUARD,
        match=f'outport == "{names.external_way_of(vpc)}" && ip4.src == {peer.cidr}',
        action=AclAction.DROP,
    )
