"""Intent cut into slices: what is compiled, compared and replaced together. A host's program is their union.

Slice ids: `("host",)`, `("vpc", org, project)`, `("nat", org, project)`, and with a name at the end `("subnet", …)`,
`("group", …)`, `("port", …)`. Equal resources may come from several slices.

The intent is taken to be closed, as the store keeps it: a port's subnet and groups are there while it is, a VPC while
anything of it is; and a VPC's CIDR and VNI and a subnet's range, gateway, VLAN and having DHCP never change.
"""

from collections.abc import Iterator

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.linux.group import compile_group
from weftwork.compiler.linux.host import compile_host
from weftwork.compiler.linux.nat import compile_nat
from weftwork.compiler.linux.port import compile_port
from weftwork.compiler.linux.subnet import compile_subnet
from weftwork.compiler.linux.vpc import compile_vpc
from weftwork.compiler.settings import HostProfile
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.program.resource import Program, Resource, SliceId

HOST: SliceId = ("host",)


def slices_of(intent: Intent) -> frozenset[SliceId]:
    """Every slice that holds something."""
    return frozenset({HOST}.union(*(_slices_of_project(*item) for item in intent.items())))


def affected_by(key: ThingKey) -> frozenset[SliceId]:
    """The slices to compile again when the thing was made, changed or deleted."""
    owner = key.owner
    match key.kind:
        case "vpc":
            return frozenset({("vpc", *owner), ("nat", *owner)})
        case "subnet":
            return frozenset({("subnet", *owner, key.name)})
        case "security-group":
            return frozenset({("group", *owner, key.name)})
        case "port":
            return frozenset({("port", *owner, key.name)})
        case "snat" | "dnat":
            return frozenset({("nat", *owner)})


def compile_slice(intent: Intent, slice_id: SliceId, profile: HostProfile) -> Program:
    """What the slice holds; nothing when the thing does not exist (any more)."""
    if slice_id == HOST:
        return frozenset(compile_host(profile))
    kind, org, name, *rest = slice_id
    project = intent.get(ProjectKey(org, name))
    return frozenset(_compile(project, kind, *rest, profile=profile) if project else ())


def _compile(project: ProjectIntent, kind: str, name: str = "", *, profile: HostProfile) -> Iterator[Resource]:
    vpc = project.vpc
    if vpc is None:
        return
    match kind:
        case "vpc":
            yield from compile_vpc(vpc, profile)
        case "nat":
            yield from compile_nat(vpc, project, profile)
        case "subnet":
            if subnet := project.subnets.get(name):
                yield from compile_subnet(vpc, subnet, profile)
        case "group":
            if group := project.groups.get(name):
                yield from compile_group(vpc, group, profile)
        case "port":
            if port := project.ports.get(name):
                yield from compile_port(vpc, project, port, profile)
        case _:
            raise AssertionError(f"no slice is called {kind}")


def _slices_of_project(owner: ProjectKey, project: ProjectIntent) -> Iterator[SliceId]:
    if project.vpc is None:
        return
    yield ("vpc", *owner)
    yield ("nat", *owner)
    yield from (("subnet", *owner, name) for name in project.subnets)
    yield from (("group", *owner, name) for name in project.groups)
    yield from (("port", *owner, port_id) for port_id in project.ports)
