"""A VPC's slice: its router, the guard of all its switches, and the group of its port forwards."""

from collections.abc import Iterator

from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.guard import guard_of_vpc
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import LoadBalancerGroup, LogicalRouter, StaticRoute
from weftwork.program.resource import Resource


def compile_vpc(vpc: Vpc) -> Iterator[Resource]:
    scope, router = names.scope_of(vpc), names.router_of(vpc)
    yield LoadBalancerGroup(scope, names.load_balancers_of(vpc))
    yield LogicalRouter(scope, router, load_balancer_group=names.load_balancers_of(vpc))
    # Addresses of the VPC that no subnet holds are nowhere, though the default route leads elsewhere.
    yield StaticRoute(scope, router, vpc.cidr, "discard")
    yield from guard_of_vpc(vpc)
