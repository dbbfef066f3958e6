"""A change tried beside the present: what it would change in who reaches whom, at the cost of what it touches."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network

from weftwork.model.intent import ProjectIntent, Thing
from weftwork.model.keys import ThingKey
from weftwork.verifier.boxes import Boxes, subtract
from weftwork.verifier.diff import ABSENT, Change, ReachDiff, more
from weftwork.verifier.reach import Groups, Member, sent_by
from weftwork.verifier.reach_index import ReachIndex

Changes = Mapping[ThingKey, Thing | None]
"""Things as they will be; None: gone."""

_TRANSLATING = frozenset({"vpc", "snat", "dnat"})


@dataclass(frozen=True, slots=True)
class Kin:
    """Ports with the same class before and the same after. ABSENT is the class of a port that is not there."""

    before: Groups
    after: Groups
    members: Sequence[Member]


class Standing:
    """Who reaches whom in one project as it stands, and a second time, to try changes on."""

    def __init__(self, project: ProjectIntent, routed: Iterable[IPv4Network] = ()) -> None:
        """`routed` are the ranges of the project's peers."""
        self._present, self._possible = project.copy(), project.copy()
        self._was, self._would = (ReachIndex(one, routed) for one in (self._present, self._possible))

    @property
    def index(self) -> ReachIndex:
        return self._was

    @property
    def sets_remembered(self) -> int:
        return self._was.sets_remembered + self._would.sets_remembered

    def follow(self, changes: Changes) -> None:
        """These changes have come."""
        for project, index in ((self._present, self._was), (self._possible, self._would)):
            _change(project, index, changes)

    def route(self, routed: Iterable[IPv4Network]) -> None:
        """These are the ranges of the peers now."""
        ranges = frozenset(routed)
        self._was.route(ranges)
        self._would.route(ranges)

    @contextmanager
    def trial(self, changes: Changes, routed: Iterable[IPv4Network] | None = None) -> "Iterator[Trial]":
        """As if these changes had come, until the end of the block; nothing of the Trial may outlive it.

        `routed` are the ranges of the peers then; None: as they are.
        """
        if routed is not None:
            self._would.route(routed)
        before = {key: self._present.get(key) for key in changes}
        touched = _change(self._possible, self._would, changes)
        try:
            yield Trial(self._was, self._would, changes, touched)
        finally:
            self._would.route(self._was.routed)
            _change(self._possible, self._would, before)


class Trial:
    """The reach before and after, and who is touched: every pair without a touched one reaches as before."""

    def __init__(self, was: ReachIndex, would: ReachIndex, changes: Changes, touched: frozenset[Groups]) -> None:
        self.was = was
        self.would = would
        self.changes = changes
        self.translates_anew = any(key.kind in _TRANSLATING for key in changes) or was.routed != would.routed
        self.is_everything = False
        self._left: defaultdict[Groups, set[Member]] = defaultdict(set)
        self._came: defaultdict[Groups, set[Member]] = defaultdict(set)
        self.moved = tuple(self._moved())
        remaining = touched & was.classes & would.classes
        self.touched: tuple[Kin, ...] = (
            *self.moved,
            *(one for groups in remaining if (one := self._stayed(groups)).members),
        )
        self._touched_classes = touched

    @classmethod
    def of_everything(cls, index: ReachIndex) -> "Trial":
        """As if all that there is came now."""
        trial = cls(ReachIndex(ProjectIntent()), index, {}, frozenset())
        trial.touched = tuple(Kin(ABSENT, groups, index.members(groups)) for groups in index.classes)
        trial.translates_anew = trial.is_everything = True
        return trial

    @cached_property
    def untouched(self) -> tuple[Kin, ...]:
        stayed = (self._stayed(groups) for groups in self.was.classes if groups not in self._touched_classes)
        return tuple(kin for kin in stayed if kin.members)

    def pairs(self) -> Iterator[tuple[Kin, Kin]]:
        """Every source and destination of which one is touched, once."""
        for one in self.touched:
            yield from ((one, other) for other in self.touched)
            yield from ((one, other) for other in self.untouched)
            yield from ((other, one) for other in self.untouched)

    def between(self, source: Kin, destination: Kin) -> tuple[Boxes, Boxes]:
        """Before and after."""
        return self.was.between(source.before, destination.before), self.would.between(source.after, destination.after)

    def translated(self) -> Iterator[Kin]:
        """Whose ways to the outside may differ."""
        yield from self.touched
        if self.translates_anew:
            yield from self.untouched

    def _moved(self) -> Iterator[Kin]:
        """Ports that came, left, or changed their class; a new address is another port that came."""
        moves: defaultdict[tuple[Groups, Groups], list[Member]] = defaultdict(list)
        for key in self.changes:
            if key.kind != "port":
                continue
            before, after = self.was.place_of(key.name), self.would.place_of(key.name)
            if before == after:
                continue
            if before and after and before[1] == after[1]:
                moves[before[0], after[0]].append(before[1])
            else:
                if before:
                    moves[before[0], ABSENT].append(before[1])
                if after:
                    moves[ABSENT, after[0]].append(after[1])
        for (left, came), members in moves.items():
            self._left[left].update(members)
            self._came[came].update(members)
            yield Kin(left, came, sorted(members))

    def _stayed(self, groups: Groups) -> Kin:
        """The ports of a class that were in it and will be."""
        if groups not in self._left:
            return Kin(groups, groups, self.was.members(groups))
        if groups not in self._came:
            return Kin(groups, groups, self.would.members(groups))
        left = self._left[groups]
        return Kin(groups, groups, [member for member in self.was.members(groups) if member not in left])


@dataclass(frozen=True, slots=True)
class _Difference:
    old: Boxes
    new: Boxes
    gained: Boxes
    lost: Boxes


def diff_of(trial: Trial) -> ReachDiff:
    """What the change changes; to be read before the trial ends."""
    gained: list[Change] = []
    lost: list[Change] = []
    differences: dict[tuple[int, int], _Difference] = {}
    for source, destination in trial.pairs():
        old, new = trial.between(source, destination)
        if old == new:
            continue
        # Many pairs share few sets, and an index holds each set once; it is kept here, so that its id stays its own.
        known = differences.get((id(old), id(new)))
        if known is None:
            known = differences[id(old), id(new)] = _Difference(old, new, subtract(new, old), subtract(old, new))
        for changes, packets in ((gained, known.gained), (lost, known.lost)):
            change = Change(source.members, destination.members, packets)
            if packets and change.count:
                changes.append(change)
    translated = [(kin, member) for kin in trial.translated() for member in kin.members]
    out_before = {member[1]: sent_by(member, trial.was.outwards(kin.before)) for kin, member in translated}
    out_after = {member[1]: sent_by(member, trial.would.outwards(kin.after)) for kin, member in translated}
    in_before = {name: forward.sources for name, forward in trial.was.forwards.items()}
    in_after = {name: forward.sources for name, forward in trial.would.forwards.items()}
    return ReachDiff(
        tuple(gained),
        tuple(lost),
        outwards_gained=more(out_after, out_before),
        outwards_lost=more(out_before, out_after),
        forwards_gained=more(in_after, in_before),
        forwards_lost=more(in_before, in_after),
    )


def _change(project: ProjectIntent, index: ReachIndex, changes: Changes) -> frozenset[Groups]:
    for key, thing in changes.items():
        project.put(key, thing)
    return index.update(changes)
