"""What a change would open beside what was asked for, by the difference of two reaches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.verifier.boxes import PROTOCOLS, TRANSPORT_PORTS, Boxes, Span
from weftwork.verifier.diff import Change, ReachDiff, diff
from weftwork.verifier.edits import Edit, applied, copied, find, put
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.packet import ICMP, TCP, UDP
from weftwork.verifier.reach import Reach, ReachIndex
from weftwork.verifier.wording import service_text

EXAMPLES_MAX = 3
OUTSIDE = ""
"""In the place of a port's id."""

_NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}


@dataclass(frozen=True, slots=True)
class Opened:
    """From a port to a port, by id. One end may be OUTSIDE. `services`: `tcp/443`, `udp/5000-6000`, `icmp`, `all`."""

    source: str
    destination: str
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """`pairs` counts every two ends that something new passes between; `others` those that were not asked about, or
    that more passes between than was asked for. The examples are of the others."""

    pairs: int
    others: int
    examples: tuple[Opened, ...]


class Openings:
    """Of one project. Reads all of it once, and then each change at the cost of the change."""

    def __init__(self, project: ProjectIntent) -> None:
        self._given = project
        self._project = copied(project)
        self._index = ReachIndex(self._project)
        self._before = self._index.reach

    def of(self, edits: Iterable[Edit], asked: Opened) -> Opening:
        edited, keys = applied(self._given, edits)
        self._take(edited, keys)
        after = self._index.reach
        found = diff(self._before, after)
        self._take(self._given, keys)
        singles = (*_forwarded(found, after), *_outwards(found))
        pairs = sum(change.count for change in found.gained) + len(singles)
        known = sum(_is_in(asked, change) for change in found.gained) + singles.count(asked)
        others = (one for one in (*singles, *_pairs(found)) if one != asked)
        return Opening(pairs, pairs - known, tuple(islice(others, EXAMPLES_MAX)))

    def _take(self, project: ProjectIntent, keys: tuple[ThingKey, ...]) -> None:
        for key in keys:
            put(self._project, key, find(project, key))
        self._index.update(keys)


def services_of(boxes: Boxes) -> tuple[str, ...]:
    """Which protocols and transport ports the boxes hold, as people write them."""
    return tuple(sorted({text for box in boxes for text in _services(box.protocol, box.port)}))


def _services(protocol: Span, port: Span) -> tuple[str, ...]:
    if protocol == PROTOCOLS:
        return ("all",)
    ports = "" if port == TRANSPORT_PORTS else f"/{port[0]}" if port[0] == port[1] else f"/{port[0]}-{port[1]}"
    named = [number for number in _NAMES if protocol[0] <= number <= protocol[1]]
    numbers = named or range(protocol[0], protocol[0] + 1)
    return tuple(f"{_NAMES.get(number, number)}{'' if number == ICMP else ports}" for number in numbers)


def _forwarded(found: ReachDiff, after: Reach) -> Iterator[Opened]:
    """Told by the guest's own port, whatever it is called outside."""
    for name in found.forwards_gained:
        dnat = after.forwards[name].dnat
        service = service_text(NUMBERS[dnat.protocol], dnat.internal_port)
        yield Opened(OUTSIDE, after.forwards[name].target, (service,))


def _outwards(found: ReachDiff) -> Iterator[Opened]:
    for port, boxes in found.outwards_gained.items():
        yield Opened(port, OUTSIDE, services_of(boxes))


def _pairs(found: ReachDiff) -> Iterator[Opened]:
    for change in found.gained:
        at = {port: address for address, port in (*change.sources, *change.destinations)}
        for source, destination in change.pairs():
            yield Opened(source, destination, services_of(_between(change.packets, at[source], at[destination])))


def _is_in(asked: Opened, change: Change) -> bool:
    """Does the change open to the asked pair just what was asked?"""
    sources = [address for address, port in change.sources if port == asked.source]
    destinations = [address for address, port in change.destinations if port == asked.destination]
    if not (sources and destinations):
        return False
    return services_of(_between(change.packets, sources[0], destinations[0])) == asked.services


def _between(boxes: Boxes, source: int, destination: int) -> Boxes:
    return tuple(
        box
        for box in boxes
        if box.source[0] <= source <= box.source[1] and box.destination[0] <= destination <= box.destination[1]
    )
