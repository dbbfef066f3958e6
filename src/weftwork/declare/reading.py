"""From the text of files to projects. Every mistake says its line, its column and what may have been meant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.declare import grammar
from weftwork.declare.project import SECTIONS, GroupSpec, PolicySpec, ProjectSpec, TestSpec
from weftwork.declare.shapes import Reading
from weftwork.declare.source import Mistake, Node, Pairs, Place, documents
from weftwork.model.network_policy import PolicyRule, SubnetRef
from weftwork.model.reach_test import End, PortRef
from weftwork.model.security_group import GroupRef, Rule

FILES_MAX = 200

R = TypeVar("R", Rule, PolicyRule)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`name` is what mistakes are told by."""

    name: str
    text: str


def read_projects(files: Sequence[SourceFile], default: ProjectKey) -> Mapping[ProjectKey, ProjectSpec]:
    """Each project of the files; those that name none are about `default`. Several documents of one project add up.

    Refusal INVALID_PROJECT_FILE.
    """
    if len(files) > FILES_MAX:
        raise codes.INVALID_PROJECT_FILE.refusal(f"{len(files)} files, at most {FILES_MAX} are read at a time")
    reading = Reading()
    found: dict[ProjectKey, ProjectSpec] = {}
    for file in files:
        try:
            for node in documents(file.name, file.text):
                _take(found, node, default, reading)
        except Mistake as mistake:
            reading.note(mistake.place, mistake.what)
    if reading.mistakes:
        raise _refusal(reading.mistakes)
    if not found:
        raise codes.INVALID_PROJECT_FILE.refusal("there is no project in the files")
    return found


def _take(found: dict[ProjectKey, ProjectSpec], node: Node, default: ProjectKey, reading: Reading) -> None:
    said = grammar.PROJECT.read(node, reading)
    if said is None:
        return
    owner = said["project"] or default
    spec = ProjectSpec(**{section: _own(owner, section, said[section]) for section in SECTIONS})
    for name in _twice(spec.peerings or {}):
        reading.note(_place(node, "peerings", name), f"{name} is with a project that stands here already")
    found[owner] = _together(found.get(owner, ProjectSpec()), spec, node, reading)


def _together(one: ProjectSpec, other: ProjectSpec, node: Node, reading: Reading) -> ProjectSpec:
    """The sections of both. What both say is a mistake, even if they say the same."""
    joined: dict[str, Any] = {}
    for section in SECTIONS:
        first, second = getattr(one, section), getattr(other, section)
        if isinstance(first, dict) and isinstance(second, dict) and section != "snat":
            for name in first.keys() & second.keys():
                reading.note(_place(node, section, str(name)), f"{section} {name} stands in another document too")
            joined[section] = first | second
        elif first is not None and second is not None:
            reading.note(_place(node, section), f"{section} stands in another document of the project too")
        else:
            joined[section] = second if first is None else first
    for name in _twice(joined["peerings"] or {}) if one.peerings and other.peerings else ():
        reading.note(_place(node, "peerings", name), f"{name} is with a project that stands in another document")
    return ProjectSpec(**joined)


def _twice(peerings: Mapping[str, ProjectKey]) -> list[str]:
    """Names after the first for a peer: a project has one half for each."""
    first = {peer: name for name, peer in reversed(tuple(peerings.items()))}
    return [name for name, peer in peerings.items() if first[peer] != name]


def _place(node: Node, section: str, name: str = "") -> Place:
    """Where it stands in the document."""
    place = node.place
    for word in (section, name):
        found = {key.text: (key, value) for key, value in node.pairs} if isinstance(node, Pairs) else {}
        if word in found:
            key, node = found[word]
            place = key.place
    return place


def _own(owner: ProjectKey, section: str, value: Any) -> Any:
    """The project's own groups and subnets by their names alone, as the server keeps them; each rule once."""
    match section, value:
        case "security_groups", dict():
            return {name: _own_group(owner, one) for name, one in value.items()}
        case "network_policies", dict():
            return {name: _own_policy(owner, one) for name, one in value.items()}
        case "reach_tests", dict():
            return {name: _own_test(owner, one) for name, one in value.items()}
        case "ports", dict():
            return {name: replace(one, subnet=one.subnet.removeprefix(f"{owner}/")) for name, one in value.items()}
    return value


def _own_group(owner: ProjectKey, group: GroupSpec) -> GroupSpec:
    ingress, egress = (dict.fromkeys(_own_rule(owner, one) for one in rules) for rules in (group.ingress, group.egress))
    return replace(group, ingress=tuple(ingress), egress=tuple(egress))


def _own_policy(owner: ProjectKey, policy: PolicySpec) -> PolicySpec:
    return replace(policy, rules=tuple(dict.fromkeys(_own_rule(owner, one) for one in policy.rules)))


def _own_test(owner: ProjectKey, test: TestSpec) -> TestSpec:
    return replace(test, source=_own_end(owner, test.source), destination=_own_end(owner, test.destination))


def _own_end(owner: ProjectKey, end: End) -> End:
    match end:
        case PortRef(text) | GroupRef(text) | SubnetRef(text):
            return type(end)(text.removeprefix(f"{owner}/"))
    return end


def _own_rule(owner: ProjectKey, rule: R) -> R:
    if isinstance(rule.peer, GroupRef) and rule.peer.owner == owner:
        return replace(rule, peer=GroupRef(rule.peer.name))
    return rule


def _refusal(mistakes: Iterable[Mistake]) -> Refusal:
    first, *others = mistakes
    more = f" (and {len(others)} more)" if others else ""
    details = {"mistakes": "\n".join(str(one) for one in (first, *others))}
    return codes.INVALID_PROJECT_FILE.refusal(
        f"{first}{more}", file=first.place.file, line=str(first.place.line), column=str(first.place.column), **details
    )
