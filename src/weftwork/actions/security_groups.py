"""Security groups and their rules. Rules of a direction are a set: a rule is there or not, written once."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network
from typing import Literal

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, joined, removal
from weftwork.actions.dependents import in_use, removals, told_of
from weftwork.actions.find import DEFAULT, group_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.reach_guard import tests_naming
from weftwork.actions.words import check_description, check_name
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.keys import ThingKey
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.seams.store import Compare, Empty, Unchanged

RULES_MAX = 200
"""For each direction of a group."""
_WITH_PORTS = (Protocol.TCP, Protocol.UDP)


async def create_security_group(
    network: Network,
    *,
    owner: ProjectKey,
    name: str,
    description: str = "",
    ingress: tuple[Rule, ...] = (),
    egress: tuple[Rule, ...] = (),
) -> Stored[SecurityGroup]:
    """A group without rules allows nothing. A rule may name the group itself.

    Refusals INVALID_NAME, FIELD_TOO_LONG, INVALID_ARGUMENT, INVALID_PORT_RANGE, IPV6_NOT_SUPPORTED, TOO_MANY_RULES,
    VPC_NOT_FOUND, SECURITY_GROUP_NOT_FOUND (named by a rule), SECURITY_GROUP_ALREADY_EXISTS.
    """
    check_name(name, "security group")
    check_description(description)

    def decide() -> Decision[SecurityGroup]:
        here, vpc = vpc_of(network, owner)
        wanted = SecurityGroup(
            owner=owner,
            name=name,
            description=description,
            ingress=_rules(here, owner, ingress, itself=name),
            egress=_rules(here, owner, egress, itself=name),
            created_at=network.clock.now_s(),
        )
        existing = here.intent.groups.get(name)
        if existing is not None:
            return _same(network, existing, wanted)
        in_vpc = Unchanged(str(rows.key_of(vpc)), network.view.revision_of(rows.key_of(vpc)))
        return Decision(wanted, creation(wanted) + Draft((in_vpc, *_named_still_there(network, wanted, None))))

    return await network.run(owner, decide)


async def update_security_group(
    network: Network,
    *,
    owner: ProjectKey,
    group: str,
    description: str | None = None,
    ingress: tuple[Rule, ...] | None = None,
    egress: tuple[Rule, ...] | None = None,
    if_revision: int = 0,
) -> Stored[SecurityGroup]:
    """Replaces what is given. With `if_revision`, only while the group is at that revision.

    Refusals SECURITY_GROUP_NOT_FOUND, REVISION_CHANGED, and those of the rules as in `create_security_group`.
    """
    if description is not None:
        check_description(description)

    def updated(here: ProjectIndex, old: SecurityGroup) -> SecurityGroup:
        return replace(
            old,
            description=old.description if description is None else description,
            ingress=old.ingress if ingress is None else _rules(here, owner, ingress, old.ingress, itself=old.name),
            egress=old.egress if egress is None else _rules(here, owner, egress, old.egress, itself=old.name),
        )

    return await _change(network, owner, group, updated, if_revision)


async def add_rules(
    network: Network, *, owner: ProjectKey, group: str, ingress: tuple[Rule, ...] = (), egress: tuple[Rule, ...] = ()
) -> Stored[SecurityGroup]:
    """Rules that are there already stay as they are. Refusals as in `update_security_group`."""

    def extended(here: ProjectIndex, old: SecurityGroup) -> SecurityGroup:
        return replace(
            old,
            ingress=_rules(here, owner, old.ingress + ingress, old.ingress, itself=old.name),
            egress=_rules(here, owner, old.egress + egress, old.egress, itself=old.name),
        )

    return await _change(network, owner, group, extended)


async def remove_rules(
    network: Network, *, owner: ProjectKey, group: str, ingress: tuple[Rule, ...] = (), egress: tuple[Rule, ...] = ()
) -> Stored[SecurityGroup]:
    """Refusals SECURITY_GROUP_NOT_FOUND, RULE_NOT_FOUND."""

    def reduced(here: ProjectIndex, old: SecurityGroup) -> SecurityGroup:
        return replace(
            old,
            ingress=_without(old, old.ingress, _canonical(owner, ingress), "from"),
            egress=_without(old, old.egress, _canonical(owner, egress), "to"),
        )

    return await _change(network, owner, group, reduced)


async def delete_security_group(network: Network, *, owner: ProjectKey, group: str, cascade: bool) -> None:
    """With `cascade`, it is taken from the ports that have it and from the rules that name it; tests that name it go.

    Refusals SECURITY_GROUP_NOT_FOUND, SECURITY_GROUP_REQUIRED (the group `default`), IN_USE.
    """

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        gone = group_of(here, owner, group)
        if gone.name == DEFAULT:
            raise codes.SECURITY_GROUP_REQUIRED.refusal("security group 'default' goes with its VPC only")
        members = list(here.members(gone.name))
        naming = list(here.groups_naming(gone.name))
        policies = list(here.policies_naming_group(gone.name))
        tests = tests_naming(here.intent, [gone])
        vms = [one for one in here.intent.vms.values() if one.group == gone.name]
        if (members or naming or policies or tests or vms) and not cascade:
            raise in_use(told_of(gone), [*vms, *members, *naming, *policies, *tests])
        since = network.view.revision if cascade else 0
        seen_all = (
            Empty(keys.member(owner, gone.name), since),
            Empty(keys.group_reference(owner, gone.name), since),
            Empty(keys.policy_reference(owner, rows.key_of(gone)), since),
        )
        revision_of = network.view.revision_of
        left = [change(port, _without_group(port, gone.name), revision_of(rows.key_of(port))) for port in members]
        unnamed = [change(other, without_peer(other, gone.name), revision_of(rows.key_of(other))) for other in naming]
        unjudged = [
            change(one, one.without_peer(GroupRef(gone.name)), revision_of(rows.key_of(one))) for one in policies
        ]
        closed = [change(one, replace(one, group=""), revision_of(rows.key_of(one))) for one in vms]
        removed = removal(gone, revision_of(rows.key_of(gone)))
        gone_too = removals(network, tests)
        return Decision(None, joined([removed, *closed, *left, *unnamed, *unjudged, gone_too, Draft(seen_all)]))

    await network.run(owner, decide)


async def _change(
    network: Network,
    owner: ProjectKey,
    text: str,
    changed: Callable[[ProjectIndex, SecurityGroup], SecurityGroup],
    if_revision: int = 0,
) -> Stored[SecurityGroup]:
    def decide() -> Decision[SecurityGroup]:
        here, _ = vpc_of(network, owner)
        old = group_of(here, owner, text)
        revision = network.view.revision_of(rows.key_of(old))
        if if_revision and if_revision != revision:
            raise codes.REVISION_CHANGED.refusal(
                f"security group {old.name!r} is at revision {revision}, not {if_revision}", revision=str(revision)
            )
        new = changed(here, old)
        if new == old:
            return Decision(old, revision=revision)
        return Decision(new, change(old, new, revision) + Draft(_named_still_there(network, new, old)))

    return await network.run(owner, decide)


def _rules(
    here: ProjectIndex, owner: ProjectKey, rules: tuple[Rule, ...], known: tuple[Rule, ...] = (), *, itself: str
) -> tuple[Rule, ...]:
    """Checked, groups by their names, each rule once. `known` are there already."""
    distinct = _canonical(owner, rules)
    if len(distinct) > RULES_MAX:
        raise codes.TOO_MANY_RULES.refusal(f"{len(distinct)} rules in one direction, at most {RULES_MAX} fit")
    for rule in distinct:
        check_ports(rule.protocol, rule.ports)
        if rule not in known:
            check_family(rule.peer)
        if isinstance(rule.peer, GroupRef):
            _check_group(here, owner, rule.peer, itself)
    return distinct


def _check_group(here: ProjectIndex, owner: ProjectKey, named: GroupRef, itself: str) -> None:
    """A group of a peer's is not looked for: whether there is one is not told."""
    if named.owner is not None:
        if named.owner not in here.intent.peerings:
            raise codes.PEERING_NOT_FOUND.refusal(
                f"project {owner} has no peering with {named.owner}, whose group {named.name!r} a rule names"
            )
        check_name(named.name, "security group")
    elif named.name != itself:
        group_of(here, owner, named.name)


def _canonical(owner: ProjectKey, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(dict.fromkeys(_by_name(owner, rule) for rule in rules))


def _by_name(owner: ProjectKey, rule: Rule) -> Rule:
    """A full id of this project's becomes the name."""
    if isinstance(rule.peer, GroupRef):
        whose = None if rule.peer.owner == owner else rule.peer.owner
        return replace(rule, peer=GroupRef(rule.peer.name.removeprefix(f"{owner}/"), whose))
    return rule


def check_ports(protocol: Protocol, ports: PortRange | None) -> None:
    """Of a rule. Refusal INVALID_PORT_RANGE."""
    if ports is None:
        return
    if protocol not in _WITH_PORTS:
        raise codes.INVALID_PORT_RANGE.refusal(f"{protocol.value} has no ports", field="port_range")
    if not 0 <= ports.min <= ports.max <= 65535:
        raise codes.INVALID_PORT_RANGE.refusal(f"{ports.min}-{ports.max} is not a port range", field="port_range")


def check_family(peer: object) -> None:
    """Of a rule: one that matches nothing would look like one that does. Refusal IPV6_NOT_SUPPORTED."""
    if isinstance(peer, IPv6Network):
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{peer} is an IPv6 range, and guests speak IPv4 only", field="source")


def _named_still_there(network: Network, new: SecurityGroup, old: SecurityGroup | None) -> tuple[Compare, ...]:
    """What rules name now and did not name before: groups, and of a peer's groups the half towards it."""
    names = _named(new) - (_named(old) if old else set()) - {ThingKey("security-group", new.owner, new.name)}
    return tuple(Unchanged(str(key), network.view.revision_of(key)) for key in sorted(names, key=str))


def _named(group: SecurityGroup) -> set[ThingKey]:
    named = {rule.peer for rule in (*group.ingress, *group.egress) if isinstance(rule.peer, GroupRef)}
    return {
        ThingKey("peering", group.owner, str(one.owner))
        if one.owner
        else ThingKey("security-group", group.owner, one.name)
        for one in named
    }


def _without(
    group: SecurityGroup, rules: tuple[Rule, ...], removed: tuple[Rule, ...], word: Literal["from", "to"]
) -> tuple[Rule, ...]:
    for rule in removed:
        if rule not in rules:
            raise codes.RULE_NOT_FOUND.refusal(f"security group {group.name!r} has no rule {_told(rule, word)}")
    return tuple(rule for rule in rules if rule not in removed)


def _told(rule: Rule, word: str) -> str:
    """As a person writes it: `tcp 80 from group web`."""
    peer = f"group {rule.peer}" if isinstance(rule.peer, GroupRef) else str(rule.peer)
    span = rule.ports
    ports = "" if span is None else f" {span.min}" if span.min == span.max else f" {span.min}-{span.max}"
    return f"{rule.protocol.value}{ports} {word} {peer[:80]}"


def _without_group(port: Port, name: str) -> Port:
    return replace(port, groups=tuple(one for one in port.groups if one != name))


def without_peer(group: SecurityGroup, name: str) -> SecurityGroup:
    gone = GroupRef(name)
    return replace(
        group,
        ingress=tuple(rule for rule in group.ingress if rule.peer != gone),
        egress=tuple(rule for rule in group.egress if rule.peer != gone),
    )


def _same(network: Network, existing: SecurityGroup, wanted: SecurityGroup) -> Decision[SecurityGroup]:
    """What was not specified is not compared; the order of rules means nothing."""
    differences = []
    if wanted.description not in ("", existing.description):
        differences.append("its description differs")
    if wanted.ingress and set(wanted.ingress) != set(existing.ingress):
        differences.append("its ingress rules differ")
    if wanted.egress and set(wanted.egress) != set(existing.egress):
        differences.append("its egress rules differ")
    if differences:
        raise codes.SECURITY_GROUP_ALREADY_EXISTS.refusal(
            f"security group {existing.name!r} exists: {', '.join(differences)}"
        )
    return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))
