"""BGP EVPN on a host: its speaker, its neighbours, and what it announces of each VPC.

Each subnet has route targets of its own and of its VPC. It imports its own alone: another subnet of the VPC is another
broadcast domain. The VPC's is for whoever wants to hear all of a VPC.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.linux import names
from weftwork.compiler.settings import HostProfile, Routing
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.program.frr import BgpPeer, BgpRouter, EvpnVni, EvpnVrf
from weftwork.program.resource import Resource


def speaker(routing: Routing, underlay: IPv4Address) -> Iterator[Resource]:
    yield BgpRouter(routing.asn, underlay)
    for peer in routing.peers - {underlay}:
        yield BgpPeer(peer, routing.asn, is_client=peer in routing.clients)


def vrf_of(vpc: Vpc, profile: HostProfile) -> Iterator[Resource]:
    if profile.routing:
        yield EvpnVrf(names.scope_of(vpc))


def vni_of(vpc: Vpc, subnet: Subnet, profile: HostProfile) -> Iterator[Resource]:
    if profile.routing and subnet.vni:
        own, whole = (f"{profile.routing.asn}:{vni}" for vni in (subnet.vni, vpc.vni))
        yield EvpnVni(subnet.vni, imports=(own,), exports=(own, whole))
