"""A VPC's NAT slice: the router's leg in the external network, and what is translated there.

It exists for every VPC: without SNAT it says that nothing new leaves.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.compiler.linux.names import external_mac
from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.guard import GUARD, NOWHERE, going, received
from weftwork.compiler.ovn.peering import peer_vpcs
from weftwork.compiler.settings import ExternalNetwork, OvnProfile
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import (
    Acl,
    AclAction,
    AclDirection,
    LoadBalancer,
    LogicalRouterPort,
    LogicalSwitchPort,
    Nat,
    RouterPolicy,
    StaticRoute,
)
from weftwork.program.resource import Resource

_ERRORS = "{3, 4, 5, 11, 12}"
"""Types of ICMP messages that are about a packet (IANA)."""


def compile_nat(intent: Intent, vpc: Vpc, profile: OvnProfile) -> Iterator[Resource]:
    project, external = intent[vpc.owner], profile.external
    snat = _snat_address(project) if external else None
    dnats = [one for one in project.dnats.values() if isinstance(one.external_ip, IPv4Address)]
    outer = {one.external_ip for one in dnats if isinstance(one.external_ip, IPv4Address)}
    inside = names.any_of([vpc.cidr, *(peer.cidr for peer in peer_vpcs(intent, vpc.owner))])
    if snat is None:
        yield going(vpc, GUARD, f"ip4.dst != {inside}", AclAction.DROP, "denied_to_outside")
    addresses = sorted(outer | ({snat} if snat else set()))
    if external is None or not addresses:
        return
    yield from _external_leg(vpc, external, addresses, profile)
    # An error about a forwarded packet would leave in the words of the inside: the router goes by the port.
    scope, router = names.scope_of(vpc), names.router_of(vpc)
    error = f"ip4.src == {vpc.cidr} && ip4.dst != {inside} && icmp4.type == {_ERRORS}"
    yield RouterPolicy(scope, router, GUARD, error, "drop")
    # A router would answer pings of these, too.
    yield going(vpc, GUARD, f"ip4.dst == {names.any_of(addresses)}", AclAction.DROP, "denied_router")
    # Who calls itself by such an address is given it as a source, which the rules would take for somebody outside.
    yield received(vpc, GUARD, f"ip4.src == {names.any_of(addresses)}", AclAction.DROP, "spoofed_outside")
    yield from _from_outside(vpc, addresses)
    if snat:
        yield Nat(scope, router, "snat", snat, vpc.cidr)
    for dnat in dnats:
        yield _forward(vpc, dnat)


def _snat_address(project: ProjectIntent) -> IPv4Address | None:
    snat = project.snat
    return snat.external_ip if snat and snat.enabled and isinstance(snat.external_ip, IPv4Address) else None


def _external_leg(
    vpc: Vpc, external: ExternalNetwork, addresses: list[IPv4Address], profile: OvnProfile
) -> Iterator[Resource]:
    """The leg has one of the addresses; for the others the router answers because they are translated."""
    scope, router, leg = names.scope_of(vpc), names.router_of(vpc), names.external_leg_of(vpc)
    network = next(one for one in external.cidrs if addresses[0] in one)
    yield LogicalRouterPort(
        scope=scope,
        router=router,
        name=leg,
        mac=external_mac(vpc),
        networks=(f"{addresses[0]}/{network.prefixlen}",),
        gateway_chassis=profile.gateway_chassis,
    )
    yield LogicalSwitchPort(
        scope=names.EXTERNAL_SCOPE,
        switch=names.EXTERNAL_SWITCH,
        name=names.external_way_of(vpc),
        type="router",
        addresses=("router",),
        options=(("nat-addresses", "router"), ("router-port", leg)),
    )
    yield StaticRoute(scope, router, IPv4Network("0.0.0.0/0"), str(external.gateway), leg)
    for cidr in external.cidrs:
        if cidr != network:
            yield StaticRoute(scope, router, cidr, str(external.gateway), leg)


def _from_outside(vpc: Vpc, addresses: list[IPv4Address]) -> Iterator[Acl]:
    """Stateless, as connections are tracked in the router."""
    for match in (
        f"ip4.src == {vpc.cidr}",
        f"ip4.src == {NOWHERE}",
        f"ip4.dst != {names.any_of(addresses)}",
        "icmp4.type == 8",
        "ip6",
    ):
        yield Acl(
            scope=names.EXTERNAL_SCOPE,
            on=f"switch {names.EXTERNAL_SWITCH}",
            direction=AclDirection.TO_PORT,
            priority=GUARD,
            match=f'outport == "{names.external_way_of(vpc)}" && {match}',
            action=AclAction.DROP,
        )


def _forward(vpc: Vpc, dnat: Dnat) -> LoadBalancer:
    outer, inner = f"{dnat.external_ip}:{dnat.external_port}", f"{dnat.internal_ip}:{dnat.internal_port}"
    return LoadBalancer(
        scope=names.scope_of(vpc),
        name=f"{names.scope_of(vpc)}.forward.{dnat.name}",
        group=names.load_balancers_of(vpc),
        protocol=dnat.protocol.value,
        vips=((outer, inner),),
    )
