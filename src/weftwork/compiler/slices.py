"""Intent cut into slices: what is compiled, compared and replaced together. A target's program is their union.

Slice ids: `("host",)`, `("vpc", org, project)`, `("nat", org, project)`, `("peerings", org, project)`,
`("policies", org, project)`, and with a name at the end `("subnet", …)`, `("group", …)`, `("policy", …)`,
`("port", …)`, `("vm", …)`. Every backend cuts in the same way, and compiles each slice into resources of its own.
"""

from collections.abc import Callable, Iterator

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, lodgers_of
from weftwork.model.keys import ThingKey, peer_in
from weftwork.program.resource import Program, SliceId

HOST: SliceId = ("host",)

Compile = Callable[[Intent, SliceId], Program]
"""What a backend is to the rest: one slice of the intent into what it holds; nothing when the thing does not exist."""


def slices_of(intent: Intent) -> frozenset[SliceId]:
    """Every slice that holds something."""
    return frozenset({HOST}.union(*(_slices_of_project(*item) for item in intent.items())))


def affected_by(key: ThingKey, intent: Intent) -> frozenset[SliceId]:
    """The slices to compile again when the thing was made, changed or deleted, in the intent that has this change.

    A peering affects both its projects: legs and gateways, what is outside for them, and whom their rules may name. A
    group stands in the VPC of its project, and by its ports wherever these are.
    """
    owner = key.owner
    match key.kind:
        case "vpc":
            # What is logged is said in most chains of the VPC.
            project = intent.get(owner)
            everything = (*_slices_of_project(owner, project), *_lodgers(intent, owner)) if project else ()
            return frozenset({("vpc", *owner), ("nat", *owner), ("policies", *owner), *everything})
        case "subnet":
            return frozenset({("subnet", *owner, key.name), *_vms_in(intent, owner, key.name)})
        case "security-group":
            project = intent.get(owner)
            ports = project.ports.values() if project else ()
            lodging = frozenset(("port", *owner, one.id) for one in ports if one.lender and key.name in one.groups)
            return lodging | {("group", *owner, key.name), ("policies", *owner)}
        case "port":
            return frozenset({("port", *owner, key.name)})
        case "snat" | "dnat":
            return frozenset({("nat", *owner)})
        case "network-policy":
            return frozenset({("policies", *owner), ("policy", *owner, key.name), *_lodgers(intent, owner)})
        case "subnet-share":
            return frozenset()
        case "peering":
            return frozenset(one for end in (owner, peer_in(key)) for one in _with_peers(intent, end))
        case "vm":
            return frozenset({("vm", *owner, key.name)})
        case "reach-test" | "ssh-key":
            return frozenset()


def _with_peers(intent: Intent, owner: ProjectKey) -> Iterator[SliceId]:
    """What a backend may write with a project's peers in it."""
    yield ("peerings", *owner)
    project = intent.get(owner)
    if project is not None:
        yield ("nat", *owner)
        yield ("policies", *owner)
        yield from (("subnet", *owner, name) for name in project.subnets)
        yield from (("group", *owner, name) for name in project.groups)
        yield from (("port", *owner, port_id) for port_id in project.ports)
        yield from _lodgers(intent, owner)


def _lodgers(intent: Intent, owner: ProjectKey) -> Iterator[SliceId]:
    """The ports of other projects in its subnets: each brings its groups, and among its policies, too."""
    yield from (("port", *port.owner, port.id) for port in lodgers_of(intent, owner))


def _vms_in(intent: Intent, owner: ProjectKey, subnet: str) -> Iterator[SliceId]:
    """A guest is told what its subnets' gateways and servers are."""
    if owner not in intent:
        return
    for port in (*intent[owner].ports.values(), *lodgers_of(intent, owner)):
        if (port.home, port.subnet) == (owner, subnet):
            vms = intent[port.owner].vms.values()
            yield from (("vm", *port.owner, one.name) for one in vms if port.id in one.ports)


def _slices_of_project(owner: ProjectKey, project: ProjectIntent) -> Iterator[SliceId]:
    if project.vpc is None:
        return
    yield ("vpc", *owner)
    yield ("nat", *owner)
    yield ("policies", *owner)
    if project.peerings:
        yield ("peerings", *owner)
    yield from (("subnet", *owner, name) for name in project.subnets)
    yield from (("group", *owner, name) for name in project.groups)
    yield from (("policy", *owner, name) for name in project.policies)
    yield from (("port", *owner, port_id) for port_id in project.ports)
    yield from (("vm", *owner, name) for name in project.vms)
