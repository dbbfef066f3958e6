"""Network policies: ACLs above those of the groups, one place in the order of priorities per rule.

OVN 23.03 has no action that means `on to the groups`. So what a policy allows is said once for each rule of the
groups, with both to match, and behind these it is dropped: the cost is the product, and is paid where policies allow.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.flow_log import allowing
from weftwork.compiler.ovn.group import matches_of, services_of
from weftwork.compiler.ovn.guard import GUARD, RULE, going, received
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, SecurityGroup
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import Acl, AclAction, AclDirection, PortGroup
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

    def allows(self, vpc: Vpc, priority: int, match: str) -> Iterator[Acl]:
        yield from allowing(vpc, self._stage(vpc, priority, match, AclAction.ALLOW_RELATED))

    def drops(self, vpc: Vpc, priority: int, match: str, reason: str, policy: str) -> Acl:
        return self._stage(vpc, priority, match, AclAction.DROP, reason, policy)

    @property
    def _stage(self) -> Callable[..., Acl]:
        return going if self.is_out else received


_OUT = _Way(AclDirection.FROM_PORT, "ip4.src", "ip4.dst")
_IN = _Way(AclDirection.TO_PORT, "ip4.dst", "ip4.src")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A rule, or what an isolation denies after its rules (`rule` is None), with its place in the order."""

    place: int
    policy: str
    about: str
    rule: PolicyRule | None


def compile_policies(intent: Intent, vpc: Vpc) -> Iterator[Resource]:
    project = intent[vpc.owner]
    for way in (_OUT, _IN):
        for one in _placed(vpc, project, way):
            yield from _denied(vpc, project, one, way)
    yield from compile_allowed(intent, vpc, tuple(project.groups.values()))


def compile_allowed(intent: Intent, vpc: Vpc, groups: Sequence[SecurityGroup]) -> Iterator[Resource]:
    """What the policies of the VPC leave to the rules of these groups."""
    project = intent[vpc.owner]
    for way in (_OUT, _IN):
        for one in _placed(vpc, project, way):
            if one.rule and one.rule.action is Action.ALLOW:
                for match in _matches(vpc, project, one.rule, way):
                    for given in _given(intent, vpc, groups, way):
                        whole = " && ".join((one.about, *match, given))
                        yield from way.allows(vpc, one.place, whole)


def _placed(vpc: Vpc, project: ProjectIntent, way: _Way) -> Iterator[_Placed]:
    """From the first to the last. Below each place there is one for what is dropped."""
    place = GUARD
    for policy in sorted(project.policies.values(), key=lambda one: one.place):
        target = _target(vpc, project, policy)
        if target is None or not (policy.judges_egress if way.is_out else policy.judges_ingress):
            continue
        isolates = policy.kind is PolicyKind.ISOLATION
        about = f"{way.own} == {target}" + (f" && {way.other} != {target}" if isolates else "")
        for rule in (*policy.rules, *((None,) if isolates else ())):
            place -= 2
            yield _Placed(place, policy.name, about, rule)


def _denied(vpc: Vpc, project: ProjectIntent, one: _Placed, way: _Way) -> Iterator[Resource]:
    if one.rule is None:
        yield way.drops(vpc, one.place, one.about, "isolated", one.policy)
        return
    if isinstance(one.rule.peer, GroupRef) and one.rule.peer.owner is None:
        yield PortGroup(names.scope_of(vpc), names.group_of(vpc, one.rule.peer.name))
    for match in _matches(vpc, project, one.rule, way):
        yield way.drops(vpc, one.place - 1, " && ".join((one.about, *match)), "denied_by_policy", one.policy)


def _given(intent: Intent, vpc: Vpc, groups: Sequence[SecurityGroup], way: _Way) -> Iterator[str]:
    """What the groups allow, once each."""
    told: dict[str, None] = {}
    for group in groups:
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
