"""A subnet's slice: the router's leg in it, the gateway's address, and the DHCP server."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.linux import names
from weftwork.compiler.linux.remote import vtep
from weftwork.compiler.linux.routing import vni_of
from weftwork.compiler.settings import HostProfile
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.program.dhcp import DhcpServer
from weftwork.program.linux import Bridge, Family, InterfaceAddress, NftElement, VlanInterface
from weftwork.program.resource import Resource


def compile_subnet(vpc: Vpc, subnet: Subnet, profile: HostProfile) -> Iterator[Resource]:
    scope, leg = names.scope_of(vpc), names.leg_of(subnet, profile)
    yield _leg(vpc, subnet, profile)
    if profile.underlay and subnet.vni:
        yield vtep(vpc, subnet, profile, profile.underlay)
        yield from vni_of(vpc, subnet, profile)
    if isinstance(subnet.gateway, IPv4Address):
        yield InterfaceAddress(scope, leg, subnet.gateway, subnet.cidr.prefixlen)
        yield NftElement(scope, Family.INET, "gateways", str(subnet.gateway))
        if subnet.dhcp_enabled:
            yield _dhcp_server(scope, leg, subnet, subnet.gateway, profile)


def _leg(vpc: Vpc, subnet: Subnet, profile: HostProfile) -> Resource:
    scope, leg, mac = names.scope_of(vpc), names.leg_of(subnet, profile), names.gateway_mac(vpc)
    if profile.layout == "vlan":
        return VlanInterface(scope, leg, names.VLAN_BRIDGE, subnet.vlan, mac, profile.mtu_bytes)
    return Bridge(scope, leg, mac, profile.mtu_bytes)


def _dhcp_server(scope: str, leg: str, subnet: Subnet, gateway: IPv4Address, profile: HostProfile) -> DhcpServer:
    return DhcpServer(
        scope=scope,
        interface=leg,
        server=gateway,
        prefix_length=subnet.cidr.prefixlen,
        dns_servers=tuple(one for one in subnet.dns_servers if isinstance(one, IPv4Address)),
        domain_name=subnet.domain_name,
        ntp_servers=tuple(one for one in subnet.ntp_servers if isinstance(one, IPv4Address)),
        lease_time_s=subnet.lease_time_s,
        mtu_bytes=profile.mtu_bytes,
    )
