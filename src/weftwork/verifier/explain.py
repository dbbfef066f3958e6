"""Why a packet gets through or not: its way, what decides, everything that stops it, and the smallest change to help.

The verdict is the reference model's; a change is told only after the model said that it helps and that no step of it
could be left out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from itertools import chain, product

from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.security_group import Rule
from weftwork.verifier.edits import CreateDnat, CreateSnat, Direction, Edit, applied
from weftwork.verifier.hops import Hop, hops_of
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.opening import OUTSIDE, Opened, Opening, opening_of
from weftwork.verifier.packet import Probe
from weftwork.verifier.question import Answer, Case, Question
from weftwork.verifier.reasons import Reason, ReasonCode
from weftwork.verifier.remedies import ANYWHERE, Remedies, Steps, rules_of
from weftwork.verifier.route import Route, Way
from weftwork.verifier.trial import Standing
from weftwork.verifier.words import service

CHANGES_MAX = 3
_LOOKED_AT_MAX = 4
"""How many changes are compared by what they open."""
_ROUNDS_MAX = 4
"""What one change uncovers may need another: a DNAT, then a rule for who comes through it."""
_NEAR_MAX = 3
_IMAGINED = IPv4Address("192.0.2.254")
"""An external address where none is free: to see what else stops a packet that needs one."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A rule that would allow it but for one thing: `protocol`, `ports` or `peer`."""

    group: str
    direction: Direction
    rule: Rule
    differs: str


@dataclass(frozen=True, slots=True)
class Blocker:
    reason: Reason
    near_misses: tuple[NearMiss, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Steps that together let the packet pass; without any one of them it does not."""

    steps: Steps
    opening: Opening


@dataclass(frozen=True, slots=True)
class Explanation:
    """`probe` is the packet as it is sent. `decides` are the reasons that let it pass; `blockers` everything that stops
    it, also what would only show once something else were changed. `changes`: the smallest first, of equals the one
    that opens least. Answers are part of the flow: what may begin may be answered."""

    question: Question
    probe: Probe
    route: Route
    reachable: bool
    hops: tuple[Hop, ...]
    decides: tuple[Reason, ...]
    blockers: tuple[Blocker, ...]
    changes: tuple[Change, ...]


def explain(
    intent: Intent,
    question: Question,
    *,
    spare: IPv4Address | None = None,
    standing: Callable[[], Standing] | None = None,
) -> Explanation:
    """`spare` is a free external address, for NAT that does not exist yet; `standing` the project's reach, if somebody
    keeps it: reading it anew costs what the project is large."""
    case = Case(intent, question)
    whole = intent[question.project]
    answer = case.ask(case.project)
    search = _Search(case, Remedies(question, whole, spare or _IMAGINED))
    search.look(case.project)
    route = case.route(case.project, answer.probe)
    stops = tuple(search.blockers)
    passing = tuple(one for one in (search.reached or answer).reasons if not one.stops)
    return Explanation(
        question=question,
        probe=answer.probe,
        route=route,
        reachable=answer.verdict.delivered,
        hops=hops_of(case.project, answer.probe, route, _at_their_places(stops, passing), answer.verdict.delivered),
        decides=tuple(one for one in answer.reasons if not one.stops) if answer.verdict.delivered else stops,
        blockers=tuple(Blocker(one, tuple(_near_misses(case.project, route, one))) for one in stops),
        changes=_best(intent, case, _possible(search.solutions), standing or (lambda: Standing(whole))),
    )


class _Search:
    """Tries changes until the packet passes; on the way it meets everything that stops it."""

    def __init__(self, case: Case, remedies: Remedies) -> None:
        self._case = case
        self._remedies = remedies
        self.blockers: dict[Reason, None] = {}
        self.solutions: dict[Steps, int] = {}
        self.reached: Answer | None = None

    def look(
        self,
        project: ProjectIntent,
        steps: Steps = (),
        width: int = 0,
        *,
        rounds: int = _ROUNDS_MAX,
        first: bool = True,
    ) -> None:
        answer = self._case.ask(project)
        if answer.verdict.delivered:
            self.reached = self.reached or answer
            self.solutions.setdefault(steps, width)
            return
        stops = [one for one in answer.reasons if one.stops]
        if first:
            self.blockers.update(dict.fromkeys(stops))
        if not rounds:
            return
        route = self._case.route(project, answer.probe)
        choices = [self._remedies.choices(project, route, one) for one in stops]
        helped = [one for one in choices if one]
        if not helped:
            return
        for number, chosen in enumerate(product(*helped)):
            if number and len(helped) < len(choices):
                return  # Nothing helps against one of them: the first try has shown what else there is.
            more = tuple(dict.fromkeys(chain(*(one.steps for one in chosen))))
            changed, _ = applied(project, more)
            wider = width + sum(one.width for one in chosen)
            self.look(changed, (*steps, *more), wider, rounds=rounds - 1, first=first and not number)


def _best(
    intent: Intent, case: Case, solutions: dict[Steps, int], standing: Callable[[], Standing]
) -> tuple[Change, ...]:
    found: dict[frozenset[Edit], tuple[int, Steps]] = {}
    for steps, width in solutions.items():
        needed = _needed(case, steps)
        found.setdefault(frozenset(needed), (width, needed))
    ranked = sorted((one for one in found.values() if one[1]), key=lambda one: (len(one[1]), one[0]))
    if not ranked:
        return ()
    here = standing()
    changes = [
        Change(steps, opening_of(here, intent, case.question.project, steps, _asked(case, steps)))
        for _, steps in ranked[:_LOOKED_AT_MAX]
    ]
    return tuple(sorted(changes, key=lambda one: (len(one.steps), one.opening.others)))[:CHANGES_MAX]


def _possible(solutions: dict[Steps, int]) -> dict[Steps, int]:
    """Without those that need an external address where none is free; they have shown what else is in the way."""

    def is_imagined(step: Edit) -> bool:
        match step:
            case CreateSnat(external_ip) | CreateDnat(Dnat(external_ip=external_ip)):
                return external_ip == _IMAGINED
        return False

    return {steps: width for steps, width in solutions.items() if not any(map(is_imagined, steps))}


def _needed(case: Case, steps: Steps) -> Steps:
    """Without what the packet passes without."""
    for step in steps:
        fewer = tuple(one for one in steps if one != step)
        changed, _ = applied(case.project, fewer)
        if case.ask(changed).verdict.delivered:
            return _needed(case, fewer)
    return steps


def _asked(case: Case, steps: Steps) -> Opened:
    """What the question is about, once the steps are made."""
    project, _ = applied(case.project, steps)
    route = case.route(project, case.ask(project).probe)
    return Opened(
        route.sender.id if route.sender else str(route.peer or OUTSIDE),
        route.receiver.id if route.receiver and route.way is not Way.OUTWARDS else str(route.peer or OUTSIDE),
        service(route.protocol, route.destination_port),
    )


def _at_their_places(stops: Iterable[Reason], passing: Iterable[Reason]) -> Iterator[Reason]:
    """What lets it pass counts only where nothing stops it: else it is of a change that was only imagined."""
    stopped = tuple(stops)
    yield from stopped
    codes = {one.code for one in stopped}
    for one in passing:
        if _OPPOSITE.get(one.code) not in codes:
            yield one


_OPPOSITE = {
    ReasonCode.EGRESS_RULE: ReasonCode.NO_EGRESS_RULE,
    ReasonCode.INGRESS_RULE: ReasonCode.NO_INGRESS_RULE,
    ReasonCode.SNAT: ReasonCode.NO_SNAT,
    ReasonCode.DNAT: ReasonCode.NO_DNAT,
}


def _near_misses(project: ProjectIntent, route: Route, reason: Reason) -> Iterator[NearMiss]:
    sides = {ReasonCode.NO_EGRESS_RULE: Direction.EGRESS, ReasonCode.NO_INGRESS_RULE: Direction.INGRESS}
    direction = sides.get(reason.code)
    port = route.end(direction) if direction else None
    if direction is None or port is None:
        return
    found = (
        NearMiss(name, direction, rule, differs)
        for name in port.groups
        if (group := project.groups.get(name))
        for rule in rules_of(group, direction)
        if (differs := _differs(route, rule, direction))
    )
    for number, one in enumerate(found):
        if number == _NEAR_MAX:
            return
        yield one


def _differs(route: Route, rule: Rule, direction: Direction) -> str:
    """The one thing that keeps the rule from allowing it; empty when it is more than one."""
    if route.allowed_by(replace(rule, ports=None), direction):
        return "ports"
    if route.allowed_by(replace(rule, peer=ANYWHERE), direction):
        return "peer"
    protocol = next(name for name, number in NUMBERS.items() if number == route.protocol)
    return "protocol" if route.allowed_by(replace(rule, protocol=protocol), direction) else ""
