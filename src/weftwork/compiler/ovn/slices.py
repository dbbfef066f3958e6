"""The slices of `compiler/slices.py` as rows of a northbound and devices of a chassis.

Equal resources may come from several slices.

The intent is taken to be closed, as the store keeps it: a port's subnet and groups are there while it is, a VPC while
anything of it is; and a VPC's CIDR and VNI and a subnet's range, gateway, VLAN and having DHCP never change.
"""

from collections.abc import Iterator

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.ovn.flow_log import with_meters
from weftwork.compiler.ovn.group import compile_group
from weftwork.compiler.ovn.host import compile_host
from weftwork.compiler.ovn.nat import compile_nat
from weftwork.compiler.ovn.network_policy import compile_policies
from weftwork.compiler.ovn.peering import compile_peerings
from weftwork.compiler.ovn.port import compile_port
from weftwork.compiler.ovn.subnet import compile_subnet
from weftwork.compiler.ovn.vpc import compile_vpc
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import HOST
from weftwork.model.intent import Intent
from weftwork.model.vpc import Vpc
from weftwork.program.resource import Program, Resource, SliceId


def compile_slice(intent: Intent, slice_id: SliceId, profile: OvnProfile) -> Program:
    """What the slice holds; nothing when the thing does not exist (any more)."""
    if slice_id == HOST:
        return frozenset(compile_host(profile))
    kind, org, name, *rest = slice_id
    project = intent.get(ProjectKey(org, name))
    if project is None or project.vpc is None:
        return frozenset()
    return frozenset(with_meters(_compile(intent, project.vpc, kind, *rest, profile=profile)))


def _compile(intent: Intent, vpc: Vpc, kind: str, name: str = "", *, profile: OvnProfile) -> Iterator[Resource]:
    project = intent[vpc.owner]
    match kind:
        case "vpc":
            yield from compile_vpc(vpc)
        case "nat":
            yield from compile_nat(intent, vpc, profile)
        case "peerings":
            yield from compile_peerings(intent, vpc)
        case "policies":
            yield from compile_policies(intent, vpc)
        case "policy":
            # A policy's rules have their place among those of the others.
            return
        case "subnet":
            if subnet := project.subnets.get(name):
                yield from compile_subnet(intent, vpc, subnet, profile)
        case "group":
            if group := project.groups.get(name):
                yield from compile_group(intent, vpc, group)
        case "port":
            port = project.ports.get(name)
            home = intent.get(port.home) if port else None
            if port and home and home.vpc:
                yield from compile_port(intent, home.vpc, port, profile)
        case "vm":
            # What runs in a network is no part of it: compiler/guests.py.
            return
        case _:
            raise AssertionError(f"no slice is called {kind}")
