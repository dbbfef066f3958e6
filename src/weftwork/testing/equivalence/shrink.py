"""The smallest case that still shows a disagreement, and its text."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.network_policy import PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, Rule
from weftwork.testing.equivalence.cases import Case
from weftwork.testing.equivalence.judge import Disagreement
from weftwork.testing.equivalence.shots import Shot
from weftwork.testing.equivalence.world import device_of
from weftwork.verifier.packet import Inside, Outside

Cut = Callable[[Case], Case]
"""Takes one thing away from a case; the same case when it is not there."""


def shrink(case: Case, disagrees: Callable[[Case], bool], *, tries_max: int = 400) -> Case:
    """Take away what can be taken away, as long as something disagrees."""
    tries, before = 0, None
    while case != before:
        before = case
        for cut in _cuts(case):
            smaller = cut(case)
            if smaller == case:
                continue
            tries += 1
            if tries > tries_max:
                return case
            if disagrees(smaller):
                case = smaller
    return case


def describe(case: Case, disagreement: Disagreement) -> str:
    """What was asked for, what was sent, what should have come of it and what did."""
    lines = [f"seed {case.seed}", "", "intent:", *_intent_lines(case.before)]
    if case.after is not None:
        lines += ["", "changed to:", *_intent_lines(case.after)]
    lines += ["", *(f"sent: {_shot_words(case, shot)}" for shot in case.shots)]
    lines += [f"sent after the change: {_shot_words(case, shot)}" for shot in case.later]
    expected = disagreement.expected
    reasons = ", ".join(f"{one.code.name} {one.thing}".strip() for one in expected.reasons)
    lines += [
        "",
        f"{disagreement.stage}: {_shot_words(case, disagreement.shot)}",
        f"the model says: {expected.receiver or 'not delivered'} {expected.seen or ''} because of {reasons}",
        f"the data plane: {'; '.join(disagreement.arrived) or 'nothing arrived'}",
    ]
    if disagreement.foretold is not None:
        lines.append(f"the second opinion: {'; '.join(disagreement.foretold) or 'nothing would arrive'}")
    return "\n".join(lines)


def _cuts(case: Case) -> Iterator[Cut]:
    """Those that take away most first."""
    yield from (_drop_change, _only_the_second, _change_nothing)
    yield from (partial(_only, shot) for shot in _all(case))
    yield from (partial(_drop_shot, shot) for shot in _all(case))
    yield from (partial(_silence, shot) for shot in _all(case))
    for owner in case.before:
        yield partial(_drop_project, owner)
    for owner, cut in _project_cuts(case):
        yield partial(_in_project, owner, cut)


def _drop_change(case: Case) -> Case:
    return replace(case, after=None, later=[])


def _only_the_second(case: Case) -> Case:
    return case if case.after is None else Case(case.seed, case.after, None, case.later)


def _change_nothing(case: Case) -> Case:
    return replace(case, after=case.after and deepcopy(case.before))


def _only(shot: Shot, case: Case) -> Case:
    if shot not in _all(case):
        return case
    return replace(
        case, shots=[one for one in case.shots if one == shot], later=[one for one in case.later if one == shot]
    )


def _drop_shot(shot: Shot, case: Case) -> Case:
    return replace(
        case, shots=[one for one in case.shots if one != shot], later=[one for one in case.later if one != shot]
    )


def _silence(shot: Shot, case: Case) -> Case:
    return replace(case, shots=[replace(one, answers=()) if one == shot else one for one in case.shots])


def _drop_project(owner: ProjectKey, case: Case) -> Case:
    if any(isinstance(shot.probe.source, Inside) and shot.probe.source.owner == owner for shot in _all(case)):
        return case
    intents = (case.before, case.after or {})
    if any(port.lender == owner for intent in intents for own in intent.values() for port in own.ports.values()):
        return case
    return replace(case, before=_without(case.before, owner), after=case.after and _without(case.after, owner))


def _in_project(owner: ProjectKey, cut: "ProjectCut", case: Case) -> Case:
    before, after = deepcopy(case.before), deepcopy(case.after)
    for intent in (before, after or {}):
        if owner in intent:
            cut(intent[owner])
    return replace(case, before=before, after=after)


ProjectCut = Callable[[ProjectIntent], None]


def _project_cuts(case: Case) -> Iterator[tuple[ProjectKey, ProjectCut]]:
    used = {shot.probe.source for shot in _all(case)}
    ports: set[tuple[ProjectKey, str]] = set()
    for owner, own in (*case.before.items(), *(case.after or {}).items()):
        yield owner, _drop_snat
        yield from ((owner, partial(_drop_dnat, name)) for name in own.dnats)
        for group in own.groups.values():
            rules = dict.fromkeys((*group.ingress, *group.egress))
            yield from ((owner, partial(_drop_rule, group.name, rule)) for rule in rules)
        for policy in own.policies.values():
            yield owner, partial(_drop_policy, policy.name)
            yield from ((owner, partial(_drop_policy_rule, policy.name, rule)) for rule in policy.rules)
        for port in own.ports.values():
            yield from ((owner, partial(_drop_membership, port.id, group)) for group in port.groups)
            if Inside(owner, port.id) not in used:
                ports.add((owner, port.id))
    yield from ((owner, partial(_drop_port, port)) for owner, port in sorted(ports))


def _all(case: Case) -> list[Shot]:
    return [*case.shots, *case.later]


def _without(intent: Intent, owner: ProjectKey) -> Intent:
    return {key: own for key, own in intent.items() if key != owner}


def _drop_snat(own: ProjectIntent) -> None:
    own.snat = None


def _drop_dnat(name: str, own: ProjectIntent) -> None:
    own.dnats.pop(name, None)


def _drop_port(port_id: str, own: ProjectIntent) -> None:
    """But for the target of a DNAT, which has to stay."""
    port = own.ports.get(port_id)
    if port and not any(one.internal_ip in port.addresses for one in own.dnats.values()):
        del own.ports[port_id]


def _drop_membership(port_id: str, group: str, own: ProjectIntent) -> None:
    port = own.ports.get(port_id)
    if port:
        own.ports[port_id] = replace(port, groups=tuple(one for one in port.groups if one != group))


def _drop_rule(name: str, rule: Rule, own: ProjectIntent) -> None:
    group = own.groups.get(name)
    if group:
        ingress, egress = (tuple(one for one in rules if one != rule) for rules in (group.ingress, group.egress))
        own.groups[name] = replace(group, ingress=ingress, egress=egress)


def _drop_policy(name: str, own: ProjectIntent) -> None:
    own.policies.pop(name, None)


def _drop_policy_rule(name: str, rule: PolicyRule, own: ProjectIntent) -> None:
    policy = own.policies.get(name)
    if policy:
        own.policies[name] = replace(policy, rules=tuple(one for one in policy.rules if one != rule))


def _intent_lines(intent: Intent) -> Iterator[str]:
    for owner, own in intent.items():
        cidr = own.vpc.cidr if own.vpc else "no VPC"
        yield f"  {owner} {cidr}" + (f", SNAT {_snat_words(own)}" if own.snat else "")
        yield from (f"    DNAT {one.name} to {one.internal_ip}:{one.internal_port}" for one in own.dnats.values())
        for port in own.ports.values():
            state = "" if port.attachment else ", not attached"
            yield f"    port {device_of(port)} {port.addresses[0]} in {', '.join(port.groups) or 'no group'}{state}"
        for group in own.groups.values():
            for way, rules in (("in", group.ingress), ("out", group.egress)):
                yield from (f"    group {group.name} allows {way} {_rule_words(rule)}" for rule in rules)
        for policy in sorted(own.policies.values(), key=lambda one: one.place):
            target = f"subnet {policy.subnet}" if policy.subnet else "the project"
            yield f"    policy {policy.name}: {policy.kind.value} of {target}, priority {policy.priority}"
            yield from (f"      {rule.action.value} {_rule_words(rule)}" for rule in policy.rules)


def _snat_words(own: ProjectIntent) -> str:
    return f"{own.snat.external_ip}" + ("" if own.snat.enabled else " (disabled)") if own.snat else ""


def _rule_words(rule: Rule | PolicyRule) -> str:
    ports = f" {rule.ports.min}-{rule.ports.max}" if rule.ports else ""
    match rule.peer:
        case GroupRef() as group:
            peer = f"group {group}"
        case SubnetRef(name):
            peer = f"subnet {name}"
        case network:
            peer = str(network)
    return f"{rule.protocol.value}{ports} {peer}"


def _shot_words(case: Case, shot: Shot) -> str:
    probe = shot.probe
    source = str(probe.source.address) if isinstance(probe.source, Outside) else _port_words(case, probe.source)
    claim = f" as {probe.source_address}" if probe.source_address else ""
    answers = f", answered by {' and '.join(one.value for one in shot.answers)}" if shot.answers else ""
    ends = f"{source}{claim} port {probe.source_port} to {probe.destination} port {probe.destination_port}"
    return f"protocol {probe.protocol}, {ends}, {probe.phase.value}, {shot.form.value}{answers}"


def _port_words(case: Case, end: Inside) -> str:
    own = case.before.get(end.owner) or (case.after or {}).get(end.owner)
    port = own.ports.get(end.port) if own else None
    return f"{device_of(port)} ({port.addresses[0]})" if port else f"{end.owner} {end.port}"
