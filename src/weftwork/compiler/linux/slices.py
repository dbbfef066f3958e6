"""The slices of `compiler/slices.py` as what a Linux host holds. Equal resources may come from several slices.

The intent is taken to be closed, as the store keeps it: a port's subnet and groups are there while it is, a VPC while
anything of it is; and a VPC's CIDR and VNI and a subnet's range, gateway, VLAN and having DHCP never change.
"""

from collections.abc import Iterator

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.linux import names
from weftwork.compiler.linux.flow_log import logged
from weftwork.compiler.linux.gateway import compile_gateway
from weftwork.compiler.linux.group import compile_group
from weftwork.compiler.linux.host import compile_host
from weftwork.compiler.linux.nat import compile_nat
from weftwork.compiler.linux.network_policy import compile_policies, compile_policy
from weftwork.compiler.linux.peering import compile_peerings
from weftwork.compiler.linux.port import compile_port
from weftwork.compiler.linux.subnet import compile_subnet
from weftwork.compiler.linux.vpc import compile_vpc
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import HOST
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.vpc import Vpc
from weftwork.program.resource import Program, Resource, SliceId


def compile_slice(intent: Intent, slice_id: SliceId, profile: HostProfile) -> Program:
    """What the slice holds; nothing when the thing does not exist (any more)."""
    if slice_id == HOST:
        return frozenset(compile_host(profile))
    if profile.is_gateway:
        return compile_gateway(intent, slice_id, profile)
    kind, org, name, *rest = slice_id
    project = intent.get(ProjectKey(org, name))
    if project is None or project.vpc is None:
        return frozenset()
    compiled = frozenset(_compile(intent, project.vpc, kind, *rest, profile=profile))
    where = _where(intent, project, kind, *rest)
    return frozenset(logged(compiled, names.scope_of(where), where.flow_log)) if where.flow_log else compiled


def _where(intent: Intent, project: ProjectIntent, kind: str, name: str = "") -> Vpc:
    """The VPC whose chains the slice holds: a port may be in another project's."""
    port = project.ports.get(name) if kind == "port" else None
    home = intent.get(port.home) if port else project
    vpc = home.vpc if home and home.vpc else project.vpc
    assert vpc is not None
    return vpc


def _compile(intent: Intent, vpc: Vpc, kind: str, name: str = "", *, profile: HostProfile) -> Iterator[Resource]:
    project = intent[vpc.owner]
    match kind:
        case "vpc":
            yield from compile_vpc(vpc, profile)
        case "nat":
            yield from compile_nat(vpc, project, profile)
        case "peerings":
            yield from compile_peerings(intent, vpc, profile)
        case "policies":
            yield from compile_policies(vpc, project, profile)
        case "policy":
            if policy := project.policies.get(name):
                yield from compile_policy(vpc, project, policy, profile)
        case "subnet":
            if subnet := project.subnets.get(name):
                yield from compile_subnet(vpc, subnet, profile)
        case "group":
            if group := project.groups.get(name):
                yield from compile_group(vpc, group, profile)
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
