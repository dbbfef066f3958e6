"""A VPC's NAT slice: the leg to the external network and what is translated there.

It exists for every VPC: without NAT it says that nothing new leaves.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Address
from weftwork.compiler.linux import names, transit
from weftwork.compiler.linux.policy import PROTOCOL_NUMBERS
from weftwork.compiler.settings import ExternalNetwork, HostProfile
from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Family, InterfaceAddress, NftChain, NftElement, NftSet, Route, Uplink
from weftwork.program.resource import Resource

_DENIED = 'counter name "denied_to_outside" drop'
DNAT_MAP = ("ipv4_addr . inet_proto . inet_service", "ipv4_addr . inet_service")


def compile_nat(vpc: Vpc, project: ProjectIntent, profile: HostProfile) -> Iterator[Resource]:
    if profile.underlay:
        yield from _by_gateway(vpc, project, profile, profile.underlay)
        return
    external = profile.external
    snat = snat_address(project) if external else None
    dnats = dnats_of(project)
    yield _to_outside(vpc, snat)
    if external and (snat or dnats):
        addresses: set[Address] = {one.external_ip for one in dnats} | ({snat} if snat else set())
        yield from external_leg(vpc, names.scope_of(vpc), external, addresses, profile)
        yield from _spoofing_guard(vpc)
        yield from _translation(vpc, dnats)
        yield from _source(vpc, snat)


def _by_gateway(vpc: Vpc, project: ProjectIntent, profile: HostProfile, underlay: IPv4Address) -> Iterator[Resource]:
    """On a host of the fleet: who is outside is behind the gateway, which translates. Only who calls an outer address
    of the own VPC is translated here, where both ends are known."""
    scope, gateway = names.scope_of(vpc), profile.gateway
    snat = snat_address(project) if gateway else None
    dnats = dnats_of(project) if gateway else []
    yield transit.to_outside(vpc, snat)
    if gateway and (snat or dnats):
        yield from transit.leg_to_gateway(vpc, gateway, profile, underlay)
        yield from transit.offered(scope, dnats)
        yield from _translation(vpc, dnats)


def dnats_of(project: ProjectIntent) -> list[Dnat]:
    return [one for one in project.dnats.values() if isinstance(one.external_ip, IPv4Address)]


def snat_address(project: ProjectIntent) -> IPv4Address | None:
    snat = project.snat
    return snat.external_ip if snat and snat.enabled and isinstance(snat.external_ip, IPv4Address) else None


def _to_outside(vpc: Vpc, snat: IPv4Address | None) -> NftChain:
    """A flow is translated behind this stage, so its first packet is known by its way and later ones by the result.

    Addresses of the VPC that nobody has are not outside, though the default route leads there.
    """
    allowed = (
        (
            f"ct reply ip saddr {vpc.cidr} {_DENIED}",
            f"ct reply ip daddr {snat} goto stamp",
            f'ct status ! confirmed oifname "{names.EXTERNAL_LEG}" goto stamp',
        )
        if snat
        else ()
    )
    return NftChain(names.scope_of(vpc), Family.INET, "to_outside", "", (*allowed, _DENIED))


def external_leg(
    vpc: Vpc, scope: str, external: ExternalNetwork, addresses: Iterable[Address], profile: HostProfile
) -> Iterator[Resource]:
    leg = names.EXTERNAL_LEG
    yield Uplink(
        scope=scope,
        name=leg,
        mac=names.external_mac(vpc),
        mtu_bytes=profile.mtu_bytes,
        peer=names.uplink_peer(vpc),
        peer_scope=external.scope,
        peer_bridge=external.bridge,
    )
    for address in addresses:
        yield InterfaceAddress(scope, leg, address, address.max_prefixlen)
    for cidr in external.cidrs:
        yield Route(scope, cidr, None, leg)
    yield Route(scope, IPv4Network("0.0.0.0/0"), external.gateway, leg)


def _spoofing_guard(vpc: Vpc) -> Iterator[Resource]:
    scope, leg = names.scope_of(vpc), names.EXTERNAL_LEG
    yield NftChain(
        scope,
        Family.INET,
        "outside_source",
        "type filter hook prerouting priority raw; policy accept;",
        (f'iifname "{leg}" ip saddr {vpc.cidr} counter name "spoofed_outside" drop',),
    )


def _translation(vpc: Vpc, dnats: Iterable[Dnat]) -> Iterator[Resource]:
    scope = names.scope_of(vpc)
    yield NftSet(scope, Family.INET, "dnat_map", *DNAT_MAP)
    yield NftChain(
        scope,
        Family.INET,
        "translate_destination",
        "type nat hook prerouting priority dstnat; policy accept;",
        ("dnat ip to ip daddr . meta l4proto . th dport map @dnat_map",),
    )
    for one in dnats:
        outer, inner = elements_of(one)
        yield NftElement(scope, Family.INET, "dnat_map", outer, inner)
        yield NftElement(scope, Family.INET, "dnat_flows", f"{outer} . {inner}")


def elements_of(dnat: Dnat) -> tuple[str, str]:
    """The outer and the inner end."""
    outer = f"{dnat.external_ip} . {PROTOCOL_NUMBERS[dnat.protocol]} . {dnat.external_port}"
    return outer, f"{dnat.internal_ip} . {dnat.internal_port}"


def _source(vpc: Vpc, snat: IPv4Address | None) -> Iterator[Resource]:
    scope, leg = names.scope_of(vpc), names.EXTERNAL_LEG
    # A guest that calls an external address of its own VPC would be answered by the server directly, so it is
    # given the router's address; the policy still sees who it is.
    hairpin = f'ct status dnat ct original ip saddr {vpc.cidr} oifname != "{leg}" masquerade'
    outwards = (f'oifname "{leg}" ip saddr {vpc.cidr} snat ip to {snat}',) if snat else ()
    yield NftChain(
        scope,
        Family.INET,
        "translate_source",
        "type nat hook postrouting priority srcnat; policy accept;",
        (hairpin, *outwards),
    )
