"""A VPC's NAT slice: the leg to the external network and what is translated there.

It exists for every VPC: without NAT it says that nothing new leaves.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Address
from weftwork.compiler.linux import names
from weftwork.compiler.settings import ExternalNetwork, HostProfile
from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.security_group import Protocol
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Family, InterfaceAddress, NftChain, NftElement, NftSet, Route, Uplink
from weftwork.program.resource import Resource

_DENIED = 'counter name "denied_to_outside" drop'
_PROTOCOL_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17}


def compile_nat(vpc: Vpc, project: ProjectIntent, profile: HostProfile) -> Iterator[Resource]:
    external = profile.external
    snat = _snat_address(project) if external else None
    dnats = [one for one in project.dnats.values() if isinstance(one.external_ip, IPv4Address)]
    yield _to_outside(vpc, snat)
    if external and (snat or dnats):
        addresses: set[Address] = {one.external_ip for one in dnats} | ({snat} if snat else set())
        yield from _external_leg(vpc, external, addresses, profile)
        yield from _translation(vpc, snat, dnats)


def _snat_address(project: ProjectIntent) -> IPv4Address | None:
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


def _external_leg(
    vpc: Vpc, external: ExternalNetwork, addresses: Iterable[Address], profile: HostProfile
) -> Iterator[Resource]:
    scope, leg = names.scope_of(vpc), names.EXTERNAL_LEG
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


def _translation(vpc: Vpc, snat: IPv4Address | None, dnats: Iterable[Dnat]) -> Iterator[Resource]:
    scope, leg = names.scope_of(vpc), names.EXTERNAL_LEG
    yield NftChain(
        scope,
        Family.INET,
        "outside_source",
        "type filter hook prerouting priority raw; policy accept;",
        (f'iifname "{leg}" ip saddr {vpc.cidr} counter name "spoofed_outside" drop',),
    )
    yield NftSet(
        scope,
        Family.INET,
        "dnat_map",
        "ipv4_addr . inet_proto . inet_service",
        "ipv4_addr . inet_service",
    )
    yield NftChain(
        scope,
        Family.INET,
        "translate_destination",
        "type nat hook prerouting priority dstnat; policy accept;",
        ("dnat ip to ip daddr . meta l4proto . th dport map @dnat_map",),
    )
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
    for one in dnats:
        outer = f"{one.external_ip} . {_PROTOCOL_NUMBERS[one.protocol]} . {one.external_port}"
        inner = f"{one.internal_ip} . {one.internal_port}"
        yield NftElement(scope, Family.INET, "dnat_map", outer, inner)
        yield NftElement(scope, Family.INET, "dnat_flows", f"{outer} . {inner}")
