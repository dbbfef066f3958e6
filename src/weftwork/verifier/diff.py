"""What a change of intent changes in who reaches whom."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, product
from typing import TypeVar

from weftwork.verifier.boxes import NOTHING, Box, Boxes, Span, subtract
from weftwork.verifier.reach import Groups, Member, Pair, Reach, sent_by


@dataclass(frozen=True, slots=True)
class Change:
    """Packets that pass now and did not before, or the other way round, from any of `sources` to any of
    `destinations`, in so far as the boxes hold their addresses."""

    sources: Sequence[Member]
    destinations: Sequence[Member]
    packets: Boxes

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Ids of ports: every pair that it concerns, once."""
        return ((source, destination) for (_, source), (_, destination) in self.member_pairs())

    def member_pairs(self) -> Iterator[tuple[Member, Member]]:
        for sources, destinations in self._blocks():
            yield from ((one, other) for one, other in product(sources, destinations) if one != other)

    @property
    def count(self) -> int:
        """How many pairs."""
        return sum(
            len(sources) * len(destinations) - _shared(sources, destinations)
            for sources, destinations in self._blocks()
        )

    def _blocks(self) -> Iterator[tuple[Sequence[Member], Sequence[Member]]]:
        """Disjoint blocks of sources × destinations that some box holds."""
        source_spans = _cut(self.packets, "source")
        for span in source_spans:
            sources = within(self.sources, span)
            if not sources:
                continue
            here = tuple(box for box in self.packets if box.source[0] <= span[0] and span[1] <= box.source[1])
            for other in _cut(here, "destination"):
                destinations = within(self.destinations, other)
                if destinations:
                    yield sources, destinations


@dataclass(frozen=True, slots=True)
class ReachDiff:
    """Between ports; `outwards_…` to the outside by port; `forwards_…` from outside through a DNAT, by its name."""

    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    outwards_gained: Mapping[str, Boxes]
    outwards_lost: Mapping[str, Boxes]
    forwards_gained: Mapping[str, Boxes]
    forwards_lost: Mapping[str, Boxes]

    @property
    def is_empty(self) -> bool:
        inside = any(change.count for change in (*self.gained, *self.lost))
        return not (inside or self.outwards_gained or self.outwards_lost or self.forwards_gained or self.forwards_lost)

    def examples(self, *, at_most: int = 3) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
        """Some pairs of port ids gained, and some lost."""
        return _some(self.gained, at_most), _some(self.lost, at_most)


def diff(before: Reach, after: Reach) -> ReachDiff:
    """By ports, so that a port that only moved from one class to another of the same reach changes nothing."""
    gained: list[Change] = []
    lost: list[Change] = []
    kinds = _kinds(before, after)
    for source, destination in _candidates(before, after, kinds):
        (old_source, new_source), (old_destination, new_destination) = source, destination
        old = before.between(old_source, old_destination)
        new = after.between(new_source, new_destination)
        if old == new:
            continue
        for changes, packets in ((gained, subtract(new, old)), (lost, subtract(old, new))):
            change = Change(tuple(kinds[source]), tuple(kinds[destination]), packets)
            if packets and change.count:
                changes.append(change)
    outwards = (_outwards(before), _outwards(after))
    forwards = (_forwards(before), _forwards(after))
    return ReachDiff(
        tuple(gained),
        tuple(lost),
        outwards_gained=more(*reversed(outwards)),
        outwards_lost=more(*outwards),
        forwards_gained=more(*reversed(forwards)),
        forwards_lost=more(*forwards),
    )


ABSENT: Groups = ("",)
"""The class of a port that is not there: no group has an empty name."""

_K = TypeVar("_K")
_Kind = tuple[Groups, Groups]
"""A port's class before and after."""


def _kinds(before: Reach, after: Reach) -> dict[_Kind, list[Member]]:
    """All ports by what happened to their class, sorted by address."""
    old = {member: groups for groups, members in before.members.items() for member in members}
    new = {member: groups for groups, members in after.members.items() for member in members}
    kinds: defaultdict[_Kind, list[Member]] = defaultdict(list)
    for member in sorted(old.keys() | new.keys()):
        kinds[old.get(member, ABSENT), new.get(member, ABSENT)].append(member)
    return kinds


def _candidates(before: Reach, after: Reach, kinds: Iterable[_Kind]) -> Iterator[tuple[_Kind, _Kind]]:
    """Pairs of kinds whose reach may differ."""
    stayed: dict[Groups, _Kind] = {}
    moved: list[_Kind] = []
    for kind in kinds:
        if kind[0] == kind[1]:
            stayed[kind[0]] = kind
        else:
            moved.append(kind)
    for source, destination in dict.fromkeys(_changed_pairs(before, after)):
        if source in stayed and destination in stayed:
            yield stayed[source], stayed[destination]
    everyone = [*stayed.values(), *moved]
    for kind in moved:
        yield from ((kind, other) for other in everyone)
        yield from ((other, kind) for other in stayed.values())


def _changed_pairs(before: Reach, after: Reach) -> Iterator[Pair]:
    """Pairs of classes whose reach may differ."""
    if before.policies != after.policies:
        yield from product(after.members, repeat=2)
    for source in _differing(before.out, after.out):
        yield from ((source, destination) for destination in after.members)
    for destination in _differing(before.into, after.into):
        yield from ((source, destination) for source in after.members)
    yield from _differing(before.named, after.named)


def _differing(before: Mapping[_K, Boxes], after: Mapping[_K, Boxes]) -> Iterator[_K]:
    return (key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _outwards(reach: Reach) -> dict[str, Boxes]:
    return {
        member[1]: sent_by(member, boxes)
        for groups, boxes in reach.outwards.items()
        for member in reach.members[groups]
    }


def _forwards(reach: Reach) -> dict[str, Boxes]:
    return {name: forward.sources for name, forward in reach.forwards.items()}


def more(one: Mapping[str, Boxes], other: Mapping[str, Boxes]) -> dict[str, Boxes]:
    """What the one holds and the other does not."""
    found = {name: subtract(boxes, other.get(name, NOTHING)) for name, boxes in one.items()}
    return {name: boxes for name, boxes in found.items() if boxes}


def _cut(boxes: Iterable[Box], axis: str) -> list[Span]:
    """The boxes' spans along one axis, cut where any begins or ends, so that none overlap."""
    spans = [getattr(box, axis) for box in boxes]
    edges = sorted({edge for low, high in spans for edge in (low, high + 1)})
    pieces = [(low, high - 1) for low, high in pairwise(edges)]
    return [piece for piece in pieces if any(low <= piece[0] and piece[1] <= high for low, high in spans)]


def _shared(one: Sequence[Member], other: Sequence[Member]) -> int:
    """How many are in both; both are sorted, and one may be much longer."""
    few, many = (one, other) if len(one) < len(other) else (other, one)
    return sum(1 for member in few if (at := bisect_left(many, member)) < len(many) and many[at] == member)


def within(members: Sequence[Member], span: Span) -> Sequence[Member]:
    return members[bisect_left(members, (span[0], "")) : bisect_right(members, (span[1], "\U0010ffff"))]


def _some(changes: Iterable[Change], at_most: int) -> tuple[tuple[str, str], ...]:
    return tuple(islice((pair for change in changes for pair in change.pairs()), at_most))
