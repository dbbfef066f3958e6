"""A VPC's slice: its namespace, the guard and the policy without ports, and the bridge of the VLAN layout."""

from collections.abc import Iterator

from weftwork.compiler.linux import names, sysctls
from weftwork.compiler.linux.guard import guard_of_vpc
from weftwork.compiler.linux.policy import policy_of_vpc
from weftwork.compiler.linux.remote import guard_of_remote
from weftwork.compiler.linux.routing import vrf_of
from weftwork.compiler.settings import HostProfile
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Bridge, Namespace
from weftwork.program.resource import Resource


def compile_vpc(vpc: Vpc, profile: HostProfile) -> Iterator[Resource]:
    scope = names.scope_of(vpc)
    yield Namespace(scope, names.owner_mark(vpc.owner))
    yield from sysctls.router(scope, profile)
    yield from guard_of_vpc(vpc, profile)
    if profile.underlay:
        yield from guard_of_remote(vpc)
        yield from vrf_of(vpc, profile)
    yield from policy_of_vpc(scope, profile)
    if profile.layout == "vlan":
        yield Bridge(scope, names.VLAN_BRIDGE, names.gateway_mac(vpc), profile.mtu_bytes, vlan_filtering=True)
