"""What a change would open beside what was asked for, by trying it on who reaches whom."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.verifier.across import across
from weftwork.verifier.boxes import Boxes
from weftwork.verifier.diff import Change, ReachDiff, diff
from weftwork.verifier.edits import Edit, applied
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.trial import Standing, Trial, diff_of
from weftwork.verifier.words import service, services

EXAMPLES_MAX = 3
OUTSIDE = ""
"""In the place of a port's id."""


@dataclass(frozen=True, slots=True)
class Opened:
    """From a port to a port, by id. One end may be OUTSIDE, or a peer, by its project alone. `services`: `tcp 443`,
    `udp 5000-6000, icmp`, `all`."""

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


def opening_of(standing: Standing, intent: Intent, owner: ProjectKey, edits: Iterable[Edit], asked: Opened) -> Opening:
    """In the owner's project, from and to outside, and between it and its peers."""
    edited, keys = applied(intent[owner], edits)
    with_peers = tuple(_with_peers(intent, owner, edited))
    with standing.trial({key: edited.get(key) for key in keys}) as trial:
        found = diff_of(trial)
        singles = (*_forwarded(found, trial), *_outwards(found), *with_peers)
        pairs = sum(change.count for change in found.gained) + len(singles)
        known = sum(_is_in(asked, change) for change in found.gained) + (asked in singles)
        others = (one for one in (*singles, *_pairs(found)) if one != asked)
        return Opening(pairs, pairs - known, tuple(islice(others, EXAMPLES_MAX)))


def _with_peers(intent: Intent, owner: ProjectKey, edited: ProjectIntent) -> Iterator[Opened]:
    """Pair by pair; of the other end only whose it is."""
    after = {**intent, owner: edited}
    for peer, _ in peers_of(intent, owner):
        for change in diff(across(intent, owner, peer), across(after, owner, peer)).gained:
            for one in _in_change(change):
                source, destination = (
                    end if end in edited.ports else str(peer) for end in (one.source, one.destination)
                )
                yield Opened(source, destination, one.services)


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
        yield from _in_change(change)


def _in_change(change: Change) -> Iterator[Opened]:
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
