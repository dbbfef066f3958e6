"""What rules open, as sets of packets that are numbered, so that equal ones are met once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from weftwork.model.security_group import Protocol, Rule
from weftwork.verifier.boxes import NOTHING, PROTOCOLS, TRANSPORT_PORTS, Box, Boxes, Span, intersect, union
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.packet import TCP, UDP
from weftwork.verifier.reach import Groups, Member, point

SETS_REMEMBERED_MAX = 100_000


class PacketSets:
    """Sets of packets by number, so that equal ones are met once. 0 is the empty set."""

    def __init__(self) -> None:
        self._numbers: dict[Boxes, int] = {}
        self._boxes: list[Boxes] = []
        self._met: dict[tuple[int, int], int] = {}
        self._joined: dict[tuple[int, ...], int] = {}
        self.number(NOTHING)

    def number(self, boxes: Boxes) -> int:
        number = self._numbers.get(boxes)
        if number is None:
            number = self._numbers[boxes] = len(self._boxes)
            self._boxes.append(boxes)
        return number

    @property
    def count(self) -> int:
        return len(self._boxes)

    def boxes(self, number: int) -> Boxes:
        return self._boxes[number]

    def both(self, a: int, b: int) -> int:
        if not (a and b):
            return 0
        met = self._met.get((a, b))
        if met is None:
            if len(self._met) > SETS_REMEMBERED_MAX:
                self._met.clear()
            met = self._met[a, b] = self.number(intersect(self._boxes[a], self._boxes[b]))
        return met

    def any_of(self, numbers: tuple[int, ...]) -> int:
        if len(numbers) == 1:
            return numbers[0]
        joined = self._joined.get(numbers)
        if joined is None:
            if len(self._joined) > SETS_REMEMBERED_MAX:
                self._joined.clear()
            joined = self._joined[numbers] = self.number(union(box for one in numbers for box in self._boxes[one]))
        return joined


@dataclass(slots=True)
class Side:
    """What a class opens in one direction: to addresses anywhere, to addresses of the VPC, to members of groups."""

    everywhere: int = 0
    inside: int = 0
    by_group: Mapping[str, int] = field(default_factory=dict)

    def towards(self, peer: Groups, sets: PacketSets) -> int:
        by_group = self.by_group
        named = [by_group[name] for name in peer if name in by_group] if by_group else ()
        return sets.any_of((self.inside, *named)) if named else self.inside


@dataclass(slots=True)
class ReachClass:
    members: list[Member] = field(default_factory=list)
    is_open: bool = False
    out: Side = field(default_factory=Side)
    into: Side = field(default_factory=Side)


class PeerBox:
    """A rule's packets: its peer is the destination of what goes out, the source of what comes in."""

    def __init__(self, *, is_destination: bool) -> None:
        self._is_destination = is_destination

    def __call__(self, peer: Span, protocol: Span, port: Span) -> Box:
        if self._is_destination:
            return Box(destination=peer, protocol=protocol, port=port)
        return Box(source=peer, protocol=protocol, port=port)


def opened_by(rule: Rule) -> tuple[tuple[Span, Span], ...]:
    """The protocols and ports that a rule opens."""
    ports = (rule.ports.min, rule.ports.max) if rule.ports else TRANSPORT_PORTS
    if rule.protocol is not Protocol.ALL:
        return ((point(NUMBERS[rule.protocol]), ports),)
    return ((point(TCP), ports), (point(UDP), ports)) if rule.ports else ((PROTOCOLS, TRANSPORT_PORTS),)


towards, coming_from = PeerBox(is_destination=True), PeerBox(is_destination=False)
