"""Between compiling and publishing: a change that would let tenants meet does not leave this room.

What is wrong is kept back by scope (on Linux, a project's namespace): its host keeps what it was last told of that
scope, while everybody else's changes go on. What was kept back is tried again with every change.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from weftwork.model.intent import Intent
from weftwork.program.resource import Program, Resource
from weftwork.verifier.violation import Change, Fault, Violation

log = logging.getLogger(__name__)

KEPT_BACK = frozenset({Fault.ISOLATION})
"""Other faults are told in the log and published: to keep them back would hold up their repair."""

NOTHING: Program = frozenset()


class Judge(Protocol):
    """A second opinion on programs. Its cost must follow the change."""

    def judge(self, change: Change, intent: Intent) -> Sequence[Violation]:
        """What would be wrong if the change came over what was published."""
        ...

    def published(self, change: Change) -> None: ...


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A change of a program."""

    added: Program = NOTHING
    removed: Program = NOTHING

    def then(self, later: Change) -> "Reviewed":
        """Both, one after the other."""
        return Reviewed(
            (self.added - later.removed) | (later.added - self.removed),
            (self.removed - later.added) | (later.removed - self.added),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """`passed` may be published (None: nothing at all); `kept` is kept back, by scope, for what `alarms` tell."""

    passed: Reviewed | None
    kept: Mapping[str, Reviewed] = field(default_factory=dict)
    alarms: Mapping[str, Violation] = field(default_factory=dict)


class Review:
    """`alarms` tells what is wrong with what is kept back, by scope; `alarmed` hears of every change of it."""

    def __init__(self, judge: Judge | None) -> None:
        self._judge = judge
        self._kept: Mapping[str, Reviewed] = {}
        self.alarms: Mapping[str, Violation] = {}
        self.alarmed: Callable[[frozenset[str]], None] = lambda scopes: None

    def consider(self, change: Change, intent: Intent, *, all_or_nothing: bool = False) -> Outcome:
        """The change, and again what was kept back before. May run beside the event loop; one at a time."""
        if self._judge is None:
            return Outcome(Reviewed(change.added, change.removed))
        everything = _by_scope(_joined(self._kept).then(change))
        trying, alarms = everything, dict[str, Violation]()
        while trying and (wrong := self._wrong(_joined(trying), intent)):
            blamed = wrong.keys() & trying.keys() or trying.keys()
            alarms |= {scope: wrong.get(scope, next(iter(wrong.values()))) for scope in blamed}
            trying = {scope: part for scope, part in trying.items() if scope not in blamed}
        if alarms and all_or_nothing:
            return Outcome(None, {}, alarms)
        return Outcome(_joined(trying), {scope: everything[scope] for scope in alarms}, alarms)

    def settle(self, outcome: Outcome) -> None:
        """What was considered is done: the judge knows what is published, and everybody what is not."""
        self._kept = outcome.kept
        if self._judge is not None and outcome.passed is not None:
            self._judge.published(outcome.passed)
        self._raise(outcome.alarms)

    def _wrong(self, change: Reviewed, intent: Intent) -> dict[str, Violation]:
        """What forbids to publish, by scope; the rest is told at once."""
        assert self._judge is not None
        found = self._judge.judge(change, intent)
        for violation in found:
            if violation.fault not in KEPT_BACK:
                log.error("%s: a program is published all the same: %s", violation.fault.name, told(violation))
        return {one.scope: one for one in reversed(found) if one.fault in KEPT_BACK}

    def _raise(self, alarms: Mapping[str, Violation]) -> None:
        before, self.alarms = self.alarms, alarms
        for scope in alarms.keys() - before.keys():
            log.error("ISOLATION_VIOLATED: not published: %s", told(alarms[scope]))
        for scope in before.keys() - alarms.keys():
            log.info("the program of %s is right again, and published", scope)
        changed = frozenset(scope for scope in before.keys() | alarms.keys() if before.get(scope) != alarms.get(scope))
        if changed:
            self.alarmed(changed)


def told(violation: Violation) -> str:
    """With the packet that proves it."""
    return f"{violation} Proof: {violation.packet}" if violation.packet is not None else str(violation)


def _by_scope(change: Change) -> dict[str, Reviewed]:
    added: defaultdict[str, set[Resource]] = defaultdict(set)
    removed: defaultdict[str, set[Resource]] = defaultdict(set)
    for resource in change.added:
        added[resource.scope].add(resource)
    for resource in change.removed:
        removed[resource.scope].add(resource)
    return {
        scope: Reviewed(frozenset(added.get(scope, ())), frozenset(removed.get(scope, ())))
        for scope in added.keys() | removed.keys()
    }


def _joined(parts: Mapping[str, Reviewed]) -> Reviewed:
    return Reviewed(
        NOTHING.union(*(part.added for part in parts.values())),
        NOTHING.union(*(part.removed for part in parts.values())),
    )
