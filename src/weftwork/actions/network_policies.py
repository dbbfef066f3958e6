"""Network policies. Their rules stand in an order, each once; the first that matches decides."""

from collections.abc import Callable
from dataclasses import replace

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, removal
from weftwork.actions.find import group_of, policy_of, subnet_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.pages import Page, Sift, page_of
from weftwork.actions.security_groups import check_family, check_ports
from weftwork.actions.words import check_name
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey
from weftwork.model.network_policy import WHOLE_PROJECT, Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef
from weftwork.seams.store import Compare, Unchanged

POLICIES_MAX = 50
"""Of one project."""
RULES_MAX = 100
"""Of one policy."""
PRIORITIES = range(1, 65536)

_WORDS = {PolicyKind.INGRESS: "from", PolicyKind.EGRESS: "to", PolicyKind.ISOLATION: "with"}


async def create_network_policy(
    network: Network,
    *,
    owner: ProjectKey,
    name: str,
    kind: PolicyKind,
    subnet: str = WHOLE_PROJECT,
    priority: int,
    rules: tuple[PolicyRule, ...] = (),
) -> Stored[NetworkPolicy]:
    """Refusals INVALID_NAME, INVALID_PRIORITY, INVALID_ACTION, INVALID_PORT_RANGE, TOO_MANY_RULES, VPC_NOT_FOUND,
    SUBNET_NOT_FOUND, SECURITY_GROUP_NOT_FOUND, TOO_MANY_POLICIES, NETWORK_POLICY_ALREADY_EXISTS.
    """
    check_name(name, "network policy")
    _check_priority(priority)

    def decide() -> Decision[NetworkPolicy]:
        here, vpc = vpc_of(network, owner)
        wanted = NetworkPolicy(
            owner=owner,
            name=name,
            kind=kind,
            subnet=subnet_of(here, owner, subnet).name if subnet else WHOLE_PROJECT,
            priority=priority,
            rules=_checked(here, owner, kind, rules),
            created_at=network.clock.now_s(),
        )
        existing = here.intent.policies.get(name)
        if existing is not None:
            return _same(network, existing, wanted)
        if len(here.intent.policies) >= POLICIES_MAX:
            raise codes.TOO_MANY_POLICIES.refusal(f"project {owner} has {POLICIES_MAX} network policies")
        needed = {rows.key_of(vpc)} | _named(wanted)
        return Decision(wanted, creation(wanted) + Draft(_still_there(network, needed)))

    return await network.run(owner, decide)


async def update_network_policy(
    network: Network,
    *,
    owner: ProjectKey,
    policy: str,
    kind: PolicyKind | None = None,
    subnet: str | None = None,
    priority: int | None = None,
    rules: tuple[PolicyRule, ...] | None = None,
    if_revision: int = 0,
) -> Stored[NetworkPolicy]:
    """Replaces what is given. With `if_revision`, only while the policy is at that revision.

    Refusals NETWORK_POLICY_NOT_FOUND, REVISION_CHANGED, and those of `create_network_policy`.
    """
    if priority is not None:
        _check_priority(priority)

    def updated(here: ProjectIndex, old: NetworkPolicy) -> NetworkPolicy:
        judged = kind or old.kind
        return replace(
            old,
            kind=judged,
            subnet=old.subnet if subnet is None else subnet_of(here, owner, subnet).name if subnet else WHOLE_PROJECT,
            priority=old.priority if priority is None else priority,
            rules=_checked(here, owner, judged, old.rules if rules is None else rules, old.rules),
        )

    return await _change(network, owner, policy, updated, if_revision)


async def add_policy_rules(
    network: Network, *, owner: ProjectKey, policy: str, rules: tuple[PolicyRule, ...], position: int = 0
) -> Stored[NetworkPolicy]:
    """`position` 1 is before all others, 0 behind them. A rule that is there already stays where it is.

    Refusals as in `update_network_policy`.
    """

    def extended(here: ProjectIndex, old: NetworkPolicy) -> NetworkPolicy:
        new = tuple(one for one in _checked(here, owner, old.kind, rules, old.rules) if one not in old.rules)
        at = position - 1 if position else len(old.rules)
        return replace(old, rules=_checked(here, owner, old.kind, old.rules[:at] + new + old.rules[at:], old.rules))

    return await _change(network, owner, policy, extended)


async def remove_policy_rules(
    network: Network, *, owner: ProjectKey, policy: str, rules: tuple[PolicyRule, ...]
) -> Stored[NetworkPolicy]:
    """Refusals NETWORK_POLICY_NOT_FOUND, RULE_NOT_FOUND."""

    def reduced(here: ProjectIndex, old: NetworkPolicy) -> NetworkPolicy:
        gone = [_by_name(owner, rule) for rule in rules]
        for rule in gone:
            if rule not in old.rules:
                raise codes.RULE_NOT_FOUND.refusal(f"network policy {old.name!r} has no rule {_told(rule, old.kind)}")
        return replace(old, rules=tuple(rule for rule in old.rules if rule not in gone))

    return await _change(network, owner, policy, reduced)


async def delete_network_policy(network: Network, *, owner: ProjectKey, policy: str) -> None:
    """Nothing depends on a policy. Refusals VPC_NOT_FOUND, NETWORK_POLICY_NOT_FOUND."""

    def decide() -> Decision[None]:
        gone = policy_of(vpc_of(network, owner)[0], owner, policy)
        return Decision(None, removal(gone, network.view.revision_of(rows.key_of(gone))))

    await network.run(owner, decide)


async def get_network_policy(network: Network, *, owner: ProjectKey, policy: str) -> Stored[NetworkPolicy]:
    """Refusals VPC_NOT_FOUND, NETWORK_POLICY_NOT_FOUND."""
    found = policy_of(vpc_of(network, owner)[0], owner, policy)
    return Stored(found, network.view.revision_of(rows.key_of(found)))


async def list_network_policies(
    network: Network,
    *,
    owner: ProjectKey,
    page_size: int = 0,
    page_token: str = "",
    sift: Sift[NetworkPolicy] | None = None,
) -> Page[NetworkPolicy]:
    """By name. Refusal INVALID_PAGE_TOKEN."""
    here = network.view.project(owner)
    revision_of = network.view.revision_of
    stored = {
        name: Stored(policy, revision_of(rows.key_of(policy)))
        for name, policy in (here.intent.policies.items() if here else ())
    }
    return await page_of(sorted(stored), stored.get, page_size, page_token, sift)


async def _change(
    network: Network,
    owner: ProjectKey,
    text: str,
    changed: Callable[[ProjectIndex, NetworkPolicy], NetworkPolicy],
    if_revision: int = 0,
) -> Stored[NetworkPolicy]:
    def decide() -> Decision[NetworkPolicy]:
        here, _ = vpc_of(network, owner)
        old = policy_of(here, owner, text)
        revision = network.view.revision_of(rows.key_of(old))
        if if_revision and if_revision != revision:
            raise codes.REVISION_CHANGED.refusal(
                f"network policy {old.name!r} is at revision {revision}, not {if_revision}", revision=str(revision)
            )
        new = changed(here, old)
        if new == old:
            return Decision(old, revision=revision)
        return Decision(new, change(old, new, revision) + Draft(_still_there(network, _named(new) - _named(old))))

    return await network.run(owner, decide)


def _check_priority(priority: int) -> None:
    if priority not in PRIORITIES:
        raise codes.INVALID_PRIORITY.refusal(f"{priority} is not a priority from 1 to 65535", field="priority")


def _checked(
    here: ProjectIndex,
    owner: ProjectKey,
    kind: PolicyKind,
    rules: tuple[PolicyRule, ...],
    known: tuple[PolicyRule, ...] = (),
) -> tuple[PolicyRule, ...]:
    """In their order, each once, with names for ids. `known` are there already."""
    distinct = tuple(dict.fromkeys(_by_name(owner, rule) for rule in rules))
    if len(distinct) > RULES_MAX:
        raise codes.TOO_MANY_RULES.refusal(f"{len(distinct)} rules in one policy, at most {RULES_MAX} fit")
    for rule in distinct:
        check_ports(rule.protocol, rule.ports)
        if rule not in known:
            check_family(rule.peer)
        if kind is PolicyKind.ISOLATION and rule.action is Action.DENY:
            raise codes.INVALID_ACTION.refusal("an isolation denies by itself: its rules are what it allows")
        match rule.peer:
            case GroupRef(name, whose):
                if whose is not None:
                    raise codes.SECURITY_GROUP_NOT_FOUND.refusal(
                        f"project {owner} has no security group {whose}/{name}"
                    )
                group_of(here, owner, name)
            case SubnetRef(name):
                subnet_of(here, owner, name)
    return distinct


def _by_name(owner: ProjectKey, rule: PolicyRule) -> PolicyRule:
    """A full id of this project's becomes the name."""
    match rule.peer:
        case GroupRef(name, whose):
            return replace(rule, peer=GroupRef(name.removeprefix(f"{owner}/"), None if whose == owner else whose))
        case SubnetRef(name):
            return replace(rule, peer=SubnetRef(name.removeprefix(f"{owner}/")))
        case _:
            return rule


def _named(policy: NetworkPolicy) -> set[ThingKey]:
    groups = {ThingKey("security-group", policy.owner, name) for name in policy.groups_named}
    return groups | {ThingKey("subnet", policy.owner, name) for name in policy.subnets_named}


def _still_there(network: Network, needed: set[ThingKey]) -> tuple[Compare, ...]:
    return tuple(Unchanged(str(key), network.view.revision_of(key)) for key in sorted(needed, key=str))


def _told(rule: PolicyRule, kind: PolicyKind) -> str:
    """As a person writes it: `deny tcp 80 from group web`."""
    match rule.peer:
        case GroupRef() as group:
            peer = f"group {group}"
        case SubnetRef(name):
            peer = f"subnet {name}"
        case network:
            peer = str(network)
    span = rule.ports
    ports = "" if span is None else f" {span.min}" if span.min == span.max else f" {span.min}-{span.max}"
    return f"{rule.action.value} {rule.protocol.value}{ports} {_WORDS[kind]} {peer[:80]}"


def _same(network: Network, existing: NetworkPolicy, wanted: NetworkPolicy) -> Decision[NetworkPolicy]:
    differences = []
    if wanted.kind is not existing.kind:
        differences.append(f"it is an {existing.kind.value} policy")
    if wanted.subnet != existing.subnet:
        differences.append(f"its target is {f'subnet {existing.subnet}' if existing.subnet else 'the project'}")
    if wanted.priority != existing.priority:
        differences.append(f"its priority is {existing.priority}")
    if wanted.rules != existing.rules:
        differences.append("its rules differ")
    if differences:
        raise codes.NETWORK_POLICY_ALREADY_EXISTS.refusal(
            f"network policy {existing.name!r} exists: {', '.join(differences)}"
        )
    return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))
