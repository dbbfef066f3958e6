"""The transit of a VPC: a segment with its own VNI, on which its hosts meet the gateway of the fleet.

Nobody has an address there, and nobody asks for one: a host knows the MAC that every gateway has, and the gateway
knows at which host's MAC each port is. The gateway's end is wherever the address of the pair is in the underlay, so
that nothing here changes when the other one takes over.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Mac
from weftwork.compiler.linux import names
from weftwork.compiler.linux.policy import PROTOCOL_NUMBERS
from weftwork.compiler.linux.remote import known_host
from weftwork.compiler.settings import HostProfile
from weftwork.model.nat import Dnat
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Family, Neighbour, NftChain, NftElement, RemoteEntry, Route, Vtep
from weftwork.program.resource import Resource

NEXT_HOP = IPv4Address("169.254.0.1")
"""What the default route names; nobody has it."""
OFFERED_SET = "offered"
"""What DNATs lead to inside: who calls from outside was translated on the gateway."""


def tunnel(vpc: Vpc, scope: str, name: str, local: IPv4Address, mac: Mac, profile: HostProfile) -> Vtep:
    return Vtep(scope, name, "", vpc.vni, local, mac, profile.mtu_bytes)


def to_outside(vpc: Vpc, snat: IPv4Address | None) -> NftChain:
    """What leaves is translated elsewhere, so that here a flow is known by its way. Addresses of the VPC that nobody
    has are not outside."""
    leg = names.EXTERNAL_LEG
    denied = 'counter name "denied_to_outside" drop'
    allowed = (
        (
            f"ct reply ip saddr {vpc.cidr} {denied}",
            f'oifname "{leg}" goto stamp',
            f'iifname "{leg}" goto stamp',
        )
        if snat
        else ()
    )
    return NftChain(names.scope_of(vpc), Family.INET, "to_outside", "", (*allowed, denied))


def leg_to_gateway(vpc: Vpc, gateway: IPv4Address, profile: HostProfile, underlay: IPv4Address) -> Iterator[Resource]:
    scope, leg, there = names.scope_of(vpc), names.EXTERNAL_LEG, names.transit_gateway_mac(vpc)
    yield tunnel(vpc, scope, leg, underlay, names.transit_mac(vpc, underlay), profile)
    yield RemoteEntry(scope, leg, there, gateway, bridged=False)
    yield Neighbour(scope, leg, NEXT_HOP, there)
    yield Route(scope, IPv4Network("0.0.0.0/0"), NEXT_HOP, leg)
    yield known_host(gateway)
    yield NftChain(
        scope,
        Family.INET,
        "outside_source",
        "type filter hook prerouting priority raw; policy accept;",
        (f'iifname "{leg}" ip saddr {vpc.cidr} counter name "spoofed_outside" drop',),
    )


def offered(scope: str, dnats: Iterable[Dnat]) -> Iterator[Resource]:
    for one in dnats:
        inner = f"{one.internal_ip} . {PROTOCOL_NUMBERS[one.protocol]} . {one.internal_port}"
        yield NftElement(scope, Family.INET, OFFERED_SET, inner)
