"""A change that would let a packet pass, in steps that a person can take: each becomes one call and one command."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address

from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy, PolicyRule
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import Rule, SecurityGroup


class Direction(Enum):
    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True)
class AddRule:
    """`instead_of` is a rule of the same group that goes: the new one is that with other bounds."""

    group: str
    direction: Direction
    rule: Rule
    instead_of: Rule | None = None


@dataclass(frozen=True, slots=True)
class CreateGroup:
    """A group of one rule, for a port that is in no group or whose groups are full."""

    group: str
    direction: Direction
    rule: Rule


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """The port gets the group beside those that it has."""

    port: str
    group: str


@dataclass(frozen=True, slots=True)
class AttachPort:
    """To which VM or namespace is for a person to say."""

    port: str


@dataclass(frozen=True, slots=True)
class CreateSnat:
    """`is_there`: it exists and lets nobody out, so it has to be deleted first."""

    external_ip: IPv4Address
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class CreateDnat:
    dnat: Dnat


@dataclass(frozen=True, slots=True)
class AllowInPolicy:
    """An exception, before all rules that the policy has."""

    policy: str
    rule: PolicyRule


Edit = AllowInPolicy | AddRule | CreateGroup | JoinGroup | AttachPort | CreateSnat | CreateDnat
Changed = NetworkPolicy | Port | SecurityGroup | Snat | Dnat


def applied(project: ProjectIntent, edits: Iterable[Edit]) -> tuple[ProjectIntent, tuple[ThingKey, ...]]:
    """A copy with the edits made, and what they touched. The given project stays as it is."""
    copy = project.copy()
    keys = []
    for edit in edits:
        thing = _changed(copy, edit)
        keys.append(key_of(thing))
        copy.put(keys[-1], thing)
    return copy, tuple(keys)


def key_of(thing: Changed) -> ThingKey:
    match thing:
        case Port():
            return ThingKey("port", thing.owner, thing.id)
        case SecurityGroup():
            return ThingKey("security-group", thing.owner, thing.name)
        case Snat():
            return ThingKey("snat", thing.owner)
        case Dnat():
            return ThingKey("dnat", thing.owner, thing.name)
        case NetworkPolicy():
            return ThingKey("network-policy", thing.owner, thing.name)


def _changed(project: ProjectIntent, edit: Edit) -> Changed:
    """What the edit makes, or makes of what is there."""
    assert project.vpc is not None, "where there is no VPC there is nobody to ask"
    owner = project.vpc.owner
    match edit:
        case AddRule(name, direction, rule, old):
            return _with_rule(project.groups[name], direction, rule, old)
        case CreateGroup(name, direction, rule):
            return _with_rule(SecurityGroup(owner, name, "", (), (), created_at=0), direction, rule, None)
        case JoinGroup(port, name):
            return joined(project.ports[port], name)
        case AttachPort(port):
            return replace(project.ports[port], attachment=Attachment(AttachmentKind.TAP))
        case CreateSnat(external_ip):
            return Snat(owner, external_ip, enabled=True, created_at=0)
        case CreateDnat(dnat):
            return dnat
        case AllowInPolicy(name, rule):
            policy = project.policies[name]
            return replace(policy, rules=(rule, *policy.rules))


def joined(port: Port, group: str) -> Port:
    return replace(port, groups=tuple(sorted({*port.groups, group})))


def _with_rule(group: SecurityGroup, direction: Direction, rule: Rule, old: Rule | None) -> SecurityGroup:
    def rules(now: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return (*(one for one in now if one != old), rule)

    if direction is Direction.INGRESS:
        return replace(group, ingress=rules(group.ingress))
    return replace(group, egress=rules(group.egress))
