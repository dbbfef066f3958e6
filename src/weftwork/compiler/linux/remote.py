"""What a host of the fleet holds for ports on other hosts: VTEPs, the way to each port, and the guards of both ends.

A port on another host is a port whose device is its subnet's VTEP: the guard knows it by that device, its address obeys
the same rules, and it is a member of the same groups, so that every host judges every flow with all that it needs.

What is routed leaves from the gateway of the sender's own host, so it comes with the MAC that all hosts' gateways have.
Nobody's broadcast is delivered to other guests, and ARP is answered here: there is nothing to flood, so a VTEP has no
list of all other hosts.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.linux import names
from weftwork.compiler.settings import HostProfile
from weftwork.model.port import Port
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable, RemoteEntry, Vtep
from weftwork.program.resource import Resource

UNDERLAY = ""
"""The scope of the host's own namespace."""
REMOTE_SET = "remote"
VTEPS_SET = "vteps"


def vtep(vpc: Vpc, subnet: Subnet, profile: HostProfile, underlay: IPv4Address) -> Vtep:
    return Vtep(
        scope=names.scope_of(vpc),
        name=names.vtep_of(subnet),
        bridge=names.bridge_of(subnet, profile),
        vni=subnet.vni,
        local=underlay,
        mac=names.vtep_mac(subnet),
        mtu_bytes=profile.mtu_bytes,
        vlan=subnet.vlan if profile.layout == "vlan" else 0,
    )


def guard_of_underlay(
    underlay: IPv4Address, gateway: IPv4Address | None = None, *, is_routed: bool = False
) -> Iterator[Resource]:
    """Whoever is no host that we have to do with sends nothing into our VTEPs. `gateway` is also ours, now and then.

    Nor do we send to any such, whatever a routing protocol says; without one, nobody could say so.
    """
    yield NftTable(UNDERLAY, Family.INET)
    yield NftSet(UNDERLAY, Family.INET, VTEPS_SET, "ipv4_addr")
    ours = f"{{ {underlay}, {gateway} }}" if gateway else str(underlay)
    refused = f'ip daddr {ours} udp dport 4789 ip saddr != @{VTEPS_SET} counter name "unknown_vtep" drop'
    hook = "type filter hook input priority filter; policy accept;"
    yield NftChain(UNDERLAY, Family.INET, "underlay", hook, (refused,))
    if is_routed:
        sent = f'ip saddr {underlay} udp dport 4789 ip daddr != @{VTEPS_SET} counter name "unknown_vtep_out" drop'
        hook = "type filter hook output priority filter; policy accept;"
        yield NftChain(UNDERLAY, Family.INET, "underlay_out", hook, (sent,))


def guard_of_remote(vpc: Vpc) -> Iterator[Resource]:
    """The set that `guard.py` asks about what was routed on another host."""
    yield NftSet(names.scope_of(vpc), Family.BRIDGE, REMOTE_SET, "ipv4_addr")


def remote_address(scope: str, address: IPv4Address) -> Iterator[Resource]:
    yield NftElement(scope, Family.BRIDGE, REMOTE_SET, str(address))


def way_to(scope: str, port: Port, subnet: Subnet, underlay: IPv4Address, profile: HostProfile) -> Iterator[Resource]:
    vlan = subnet.vlan if profile.layout == "vlan" else 0
    yield RemoteEntry(scope, port.device, port.mac, underlay, vlan, yields=profile.routing is not None)
    yield known_host(underlay)


def known_host(underlay: IPv4Address) -> NftElement:
    """Who may send us VXLAN."""
    return NftElement(UNDERLAY, Family.INET, VTEPS_SET, str(underlay))
