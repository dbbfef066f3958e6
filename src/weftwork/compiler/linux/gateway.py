"""What a gateway of the fleet holds for a VPC: its translations, between the external network and the transit.

It knows no groups: the hosts judge, at the ports. What it lets pass is what is translated, in either direction, by
today's translations; every packet is asked, for there is little to ask.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.linux import names, nat, sysctls, transit
from weftwork.compiler.linux.policy import DNAT_TUPLE
from weftwork.compiler.linux.remote import known_host
from weftwork.compiler.settings import ExternalNetwork, GatewayPair, HostProfile
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Port
from weftwork.model.vpc import Vpc
from weftwork.program.gate import Announced, Gate
from weftwork.program.linux import (
    Family,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    RemoteEntry,
    Route,
)
from weftwork.program.resource import Program, Resource, SliceId

_INSIDE, _OUTSIDE = names.INNER_LEG, names.EXTERNAL_LEG


def compile_gateway(intent: Intent, slice_id: SliceId, profile: HostProfile) -> Program:
    """The slices of a VPC on a gateway, which sees those that make use of it."""
    kind, org, name, *rest = slice_id
    owner = ProjectKey(org, name)
    project = intent.get(owner)
    if project is None or project.vpc is None or profile.external is None or profile.gateway is None:
        return frozenset()
    match kind:
        case "nat":
            return frozenset(_nat(project.vpc, project, profile.external, profile.gateway, profile))
        case "port":
            port = project.ports.get(rest[0])
            home = intent.get(port.home) if port else None
            if port and home and home.vpc:
                return frozenset(_way_to(home.vpc, port))
    return frozenset()


def _nat(
    vpc: Vpc, project: ProjectIntent, external: ExternalNetwork, gateway: IPv4Address, profile: HostProfile
) -> Iterator[Resource]:
    scope = names.gateway_scope(vpc)
    snat, dnats = nat.snat_address(project), nat.dnats_of(project)
    yield Namespace(scope, names.gateway_mark(vpc.owner))
    yield from sysctls.router(scope, profile, bridged=False)
    yield NftTable(scope, Family.INET)
    yield from _chains(scope, vpc, snat)
    yield transit.tunnel(vpc, scope, _INSIDE, gateway, names.transit_gateway_mac(vpc), profile)
    yield Route(scope, vpc.cidr, None, _INSIDE)
    if not (snat or dnats):
        return
    outer = {one.external_ip for one in dnats} | ({snat} if snat else set())
    addresses = [one for one in outer if isinstance(one, IPv4Address)]
    yield from nat.external_leg(vpc, scope, external, addresses, profile)
    for address in addresses:
        yield Announced("", address, names.external_mac(vpc))
    yield NftSet(scope, Family.INET, "dnat_map", *nat.DNAT_MAP)
    for one in dnats:
        called, inner = nat.elements_of(one)
        yield NftElement(scope, Family.INET, "dnat_map", called, inner)
        yield NftElement(scope, Family.INET, "dnat_flows", f"{called} . {inner}")
    yield NftChain(
        scope,
        Family.INET,
        "translate_destination",
        "type nat hook prerouting priority dstnat; policy accept;",
        (f'iifname "{_OUTSIDE}" dnat ip to ip daddr . meta l4proto . th dport map @dnat_map',),
    )
    if snat:
        yield NftChain(
            scope,
            Family.INET,
            "translate_source",
            "type nat hook postrouting priority srcnat; policy accept;",
            (f'oifname "{_OUTSIDE}" ip saddr {vpc.cidr} snat ip to {snat}',),
        )


def gate(external: ExternalNetwork, pair: GatewayPair, underlay: IPv4Address) -> Iterator[Resource]:
    """Nothing passes between the external network and VPCs here while the keeper of the gate does not say so, again and
    again: the one element of the set ends by itself."""
    scope, ends = external.scope, '"up*"'
    yield NftTable(scope, Family.BRIDGE)
    yield NftSet(scope, Family.BRIDGE, "open", "mark", flags=("dynamic", "timeout"))
    shut = 'meta mark != @open counter name "standing_by" drop'
    hook = "type filter hook forward priority filter; policy accept;"
    yield NftChain(scope, Family.BRIDGE, "gate", hook, (f"iifname {ends} {shut}", f"oifname {ends} {shut}"))
    seats = tuple(sorted({*pair.seats, underlay}))
    yield Gate("", pair.address, underlay, seats, external.scope, external.bridge, pair.secret)


def _chains(scope: str, vpc: Vpc, snat: IPv4Address | None) -> Iterator[Resource]:
    yield NftSet(scope, Family.INET, "dnat_flows", "ipv4_addr . inet_proto . inet_service . ipv4_addr . inet_service")
    yield NftChain(
        scope,
        Family.INET,
        "source",
        "type filter hook prerouting priority raw; policy accept;",
        (
            f'iifname "{_INSIDE}" ip saddr != {vpc.cidr} counter name "spoofed_ip" drop',
            f'iifname "{_OUTSIDE}" ip saddr {vpc.cidr} counter name "spoofed_outside" drop',
        ),
    )
    of_snat = (
        (f"ct reply ip daddr {snat} accept", f'ct status ! confirmed iifname "{_INSIDE}" oifname "{_OUTSIDE}" accept')
        if snat
        else ()
    )
    yield NftChain(
        scope,
        Family.INET,
        "translated",
        "type filter hook forward priority filter; policy drop;",
        (
            'ct state invalid counter name "invalid" drop',
            f"meta l4proto 6 {DNAT_TUPLE} accept",
            f"meta l4proto 17 {DNAT_TUPLE} accept",
            "meta l4proto 1 ct state related ct status dnat accept",
            'ct status dnat counter name "denied_from_outside" drop',
            *of_snat,
            'counter name "denied_to_outside" drop',
        ),
    )
    yield NftChain(
        scope,
        Family.INET,
        "router",
        "type filter hook input priority filter; policy drop;",
        ('counter name "denied_router" drop',),
    )


def _way_to(vpc: Vpc, port: Port) -> Iterator[Resource]:
    """Behind its host's end of the transit."""
    host = port.attachment.underlay if port.attachment else None
    if host is None:
        return
    scope, mac = names.gateway_scope(vpc), names.transit_mac(vpc, host)
    yield RemoteEntry(scope, _INSIDE, mac, host, bridged=False)
    yield known_host(host)
    for address in (one for one in port.addresses if isinstance(one, IPv4Address)):
        yield Neighbour(scope, _INSIDE, address, mac)
