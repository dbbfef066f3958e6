"""What a change would open beside what was asked for, by trying it on who reaches whom."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from weftwork.model.intent import ProjectIntent
from weftwork.verifier.boxes import Boxes
from weftwork.verifier.diff import Change, ReachDiff
from weftwork.verifier.edits import Edit, applied
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.trial import Standing, Trial, diff_of
from weftwork.verifier.words import service, services

EXAMPLES_MAX = 3
OUTSIDE = ""
"""In the place of a port's id."""


@dataclass(frozen=True, slots=True)
class Opened:
    """From a port to a port, by id. One end may be OUTSIDE. `services`: `tcp 443`, `udp 5000-6000, icmp`, `all`."""

    source: str
    destination: str
    services: str


@dataclass(frozen=True, slots=True)
class Opening:
    """`pairs` counts every two ends that something new passes between; `others` those that were not asked about, or
    that more passes between than was asked for. The examples are of the others."""

    pairs: int
    others: int
    examples: tuple[Opened, ...]


def opening_of(standing: Standing, project: ProjectIntent, edits: Iterable[Edit], asked: Opened) -> Opening:
    """`project` is what stands."""
    edited, keys = applied(project, edits)
    with standing.trial({key: edited.get(key) for key in keys}) as trial:
        found = diff_of(trial)
        singles = (*_forwarded(found, trial), *_outwards(found))
        pairs = sum(change.count for change in found.gained) + len(singles)
        known = sum(_is_in(asked, change) for change in found.gained) + singles.count(asked)
        others = (one for one in (*singles, *_pairs(found)) if one != asked)
        return Opening(pairs, pairs - known, tuple(islice(others, EXAMPLES_MAX)))


def _forwarded(found: ReachDiff, trial: Trial) -> Iterator[Opened]:
    """Told by the guest's own port, whatever it is called outside."""
    for name in found.forwards_gained:
        forward = trial.would.forwards[name]
        told = service(NUMBERS[forward.dnat.protocol], forward.dnat.internal_port)
        yield Opened(OUTSIDE, forward.target, told)


def _outwards(found: ReachDiff) -> Iterator[Opened]:
    for port, boxes in found.outwards_gained.items():
        yield Opened(port, OUTSIDE, services(boxes))


def _pairs(found: ReachDiff) -> Iterator[Opened]:
    for change in found.gained:
        at = {port: address for address, port in (*change.sources, *change.destinations)}
        for source, destination in change.pairs():
            yield Opened(source, destination, services(_between(change.packets, at[source], at[destination])))


def _is_in(asked: Opened, change: Change) -> bool:
    """Does the change open to the asked pair just what was asked?"""
    sources = [address for address, port in change.sources if port == asked.source]
    destinations = [address for address, port in change.destinations if port == asked.destination]
    if not (sources and destinations):
        return False
    return services(_between(change.packets, sources[0], destinations[0])) == asked.services


def _between(boxes: Boxes, source: int, destination: int) -> Boxes:
    return tuple(
        box
        for box in boxes
        if box.source[0] <= source <= box.source[1] and box.destination[0] <= destination <= box.destination[1]
    )
