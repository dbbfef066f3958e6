"""A subnet's slice: its switch, the router's leg in it, and what DHCP says."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.linux.names import gateway_mac
from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.guard import guard_of_subnet
from weftwork.compiler.ovn.peering import gateway_at_peers
from weftwork.compiler.settings import OvnProfile
from weftwork.model.intent import Intent
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import DhcpOptions, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort, PortGroupMember
from weftwork.program.resource import Resource


def compile_subnet(intent: Intent, vpc: Vpc, subnet: Subnet, profile: OvnProfile) -> Iterator[Resource]:
    scope, switch, leg = names.scope_of(vpc), names.switch_of(vpc, subnet), names.leg_of(vpc, subnet)
    yield LogicalSwitch(scope, switch, load_balancer_group=names.load_balancers_of(vpc))
    if not isinstance(subnet.gateway, IPv4Address):
        return
    network = f"{subnet.gateway}/{subnet.cidr.prefixlen}"
    yield LogicalRouterPort(scope, names.router_of(vpc), leg, gateway_mac(vpc), (network,))
    yield LogicalSwitchPort(
        scope=scope,
        switch=switch,
        name=names.way_of(vpc, subnet),
        type="router",
        addresses=("router",),
        options=(("router-port", leg),),
    )
    yield PortGroupMember(scope, names.everywhere(vpc), names.way_of(vpc, subnet))
    yield from gateway_at_peers(intent, vpc, subnet.gateway)
    yield from guard_of_subnet(vpc, subnet.gateway, dhcp=subnet.dhcp_enabled)
    if subnet.dhcp_enabled:
        yield DhcpOptions(scope, switch, subnet.cidr, tuple(sorted(_dhcp(vpc, subnet, profile))))


def _dhcp(vpc: Vpc, subnet: Subnet, profile: OvnProfile) -> Iterator[tuple[str, str]]:
    yield "server_id", str(subnet.gateway)
    yield "server_mac", gateway_mac(vpc)
    yield "router", str(subnet.gateway)
    yield "lease_time", str(subnet.lease_time_s)
    yield "mtu", str(profile.mtu_bytes)
    if subnet.domain_name:
        yield "domain_name", f'"{subnet.domain_name}"'
    for option, servers in (("dns_server", subnet.dns_servers), ("ntp_server", subnet.ntp_servers)):
        known = [one for one in servers if isinstance(one, IPv4Address)]
        if known:
            yield option, names.any_of(known)
