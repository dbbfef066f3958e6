"""Network policies: ACLs above those of the groups, one place in the order of priorities per rule.

OVN 23.03 has no action that means `on to the groups`. So what a policy allows is said once for each rule of the
groups, with both to match, and behind these it is dropped: the cost is the product, and is paid where policies allow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.group import matches_of, services_of
from weftwork.compiler.ovn.guard import GUARD, RULE, going, received
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import AclAction, AclDirection, PortGroup
from weftwork.program.resource import Resource

RULES_MAX = (GUARD - RULE) // 2 - 1
"""Rules of all policies of a project in one direction: each has two priorities."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction: whose address the target is compared with, and the other end's."""

    direction: AclDirection
    own: str
    other: str

    @property
    def is_out(self) -> bool:
        return self.direction is AclDirection.FROM_PORT


_OUT = _Way(AclDirection.FROM_PORT, "ip4.src", "ip4.dst")
_IN = _Way(AclDirection.TO_PORT, "ip4.dst", "ip4.src")


def compile_policies(intent: Intent, vpc: Vpc) -> Iterator[Resource]:
    project = intent[vpc.owner]
    policies = sorted(project.policies.values(), key=lambda one: one.place)
    yield from _direction(intent, vpc, project, [one for one in policies if one.judges_egress], _OUT)
    yield from _direction(intent, vpc, project, [one for one in policies if one.judges_ingress], _IN)


def _direction(
    intent: Intent, vpc: Vpc, project: ProjectIntent, policies: list[NetworkPolicy], way: _Way
) -> Iterator[Resource]:
    stage, place = (going if way.is_out else received), GUARD
    for policy in policies:
        target = _target(vpc, project, policy)
        if target is None:
            continue
        isolates = policy.kind is PolicyKind.ISOLATION
        about = f"{way.own} == {target}" + (f" && {way.other} != {target}" if isolates else "")
        for rule in policy.rules:
            place -= 2
            if isinstance(rule.peer, GroupRef) and rule.peer.owner is None:
                yield PortGroup(names.scope_of(vpc), names.group_of(vpc, rule.peer.name))
            for match in _matches(vpc, project, rule, way):
                whole = " && ".join((about, *match))
                if rule.action is Action.ALLOW:
                    for given in _given(intent, vpc, project, way):
                        yield stage(vpc, place, f"{whole} && {given}", AclAction.ALLOW_RELATED)
                yield stage(vpc, place - 1, whole, AclAction.DROP)
        if isolates:
            place -= 2
            yield stage(vpc, place, about, AclAction.DROP)


def _given(intent: Intent, vpc: Vpc, project: ProjectIntent, way: _Way) -> Iterator[str]:
    """What the groups of the project allow, once each."""
    told: dict[str, None] = {}
    for group in project.groups.values():
        own = names.group_of(vpc, group.name)
        for rule in group.egress if way.is_out else group.ingress:
            told |= dict.fromkeys(matches_of(intent, vpc, own, rule, way.direction))
    yield from told


def _matches(vpc: Vpc, project: ProjectIntent, rule: PolicyRule, way: _Way) -> Iterator[tuple[str, ...]]:
    match rule.peer:
        case IPv4Network() as network:
            peer = str(network)
        case SubnetRef(name) if name in project.subnets:
            peer = str(project.subnets[name].cidr)
        case GroupRef(name, None):
            peer = names.addresses_of(names.group_of(vpc, name))
        case _:
            return
    for service in services_of(rule.protocol, rule.ports):
        yield (f"{way.other} == {peer}", *service)


def _target(vpc: Vpc, project: ProjectIntent, policy: NetworkPolicy) -> str | None:
    """Its range; None if it is a subnet that is not there, or of IPv6."""
    if not policy.subnet:
        return str(vpc.cidr)
    subnet = project.subnets.get(policy.subnet)
    return str(subnet.cidr) if subnet and isinstance(subnet.cidr, IPv4Network) else None
