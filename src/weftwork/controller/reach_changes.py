"""What a mutation would change in who reaches whom, project by project, in names."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Protocol

from weftwork.actions.overlay import overlaid
from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, Thing, peers_of
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.model.nat import Dnat
from weftwork.model.port import Port
from weftwork.seams.insight import ReachChange, ReachExample, ReachShare
from weftwork.seams.store import Write
from weftwork.verifier.across import across
from weftwork.verifier.boxes import Boxes
from weftwork.verifier.diff import Change, diff
from weftwork.verifier.lodging import lodging
from weftwork.verifier.model import address_of
from weftwork.verifier.reach import Reach
from weftwork.verifier.trial import Changes, diff_of
from weftwork.verifier.words import services

INTERNET = "internet"
EXAMPLES_MAX = 3
"""Of each: pairs, ways out, ways in."""


def reach_changes(board: ReachBoard, view: IntentView, writes: tuple[Write, ...]) -> tuple[ReachChange, ...]:
    keys = (parse_thing_key(write.key) for write in writes)
    owners = dict.fromkeys(key.owner for key in keys if key is not None)
    after = overlaid(view.intent, writes)
    changes = (_joined(_in_project(board, view, one, writes), *_with_others(view.intent, after, one)) for one in owners)
    return tuple(change for change in changes if change.gained or change.lost)


def _with_others(before: Intent, after: Intent, owner: ProjectKey) -> Iterator[ReachChange]:
    """With peers, and in the VPCs in which the owner's ports meet those of others.

    Told to the owner: who the guests of others are is said by their addresses, for their names are theirs.
    """
    both = (before, after)
    for peer in sorted({one for intent in both for one, _ in peers_of(intent, owner)}):
        yield _told_to(owner, both, tuple(across(intent, owner, peer) for intent in both))
    for home in sorted({one for intent in both for one in _homes(intent, owner)}):
        yield _told_to(owner, both, tuple(lodging(intent, home) for intent in both))


def _homes(intent: Intent, owner: ProjectKey) -> set[ProjectKey]:
    own = intent.get(owner)
    if own is None:
        return set()
    lenders = {port.home for port in own.ports.values() if port.lender}
    return lenders | ({owner} if own.shares else set())


def _told_to(owner: ProjectKey, intents: tuple[Intent, Intent], reaches: tuple[Reach, ...]) -> ReachChange:
    found = diff(*reaches)
    names = _NamesOfOthers(intents, owner)
    return ReachChange(owner, _share(names, found.gained, {}, {}), _share(names, found.lost, {}, {}))


class _NamesOfOthers:
    """Of one's own ports the names, of others' the project and the address."""

    def __init__(self, intents: tuple[Intent, Intent], owner: ProjectKey) -> None:
        self._owner = owner
        self._intents = intents

    def port(self, port_id: str) -> str:
        for intent in reversed(self._intents):
            for owner, project in intent.items():
                port = project.ports.get(port_id)
                if port is not None:
                    return (port.name or port.id) if owner == self._owner else f"{owner} {address_of(port)}"
        return port_id

    def dnat(self, name: str) -> str:
        raise AssertionError("no DNAT leads to another project")


def _joined(one: ReachChange, *others: ReachChange) -> ReachChange:
    gained, lost = one.gained, one.lost
    for other in others:
        gained, lost = _both(gained, other.gained), _both(lost, other.lost)
    return ReachChange(one.owner, gained, lost)


def _both(one: ReachShare, other: ReachShare) -> ReachShare:
    return replace(one, pairs=one.pairs + other.pairs, examples=one.examples + other.examples)


def _in_project(board: ReachBoard, view: IntentView, owner: ProjectKey, writes: tuple[Write, ...]) -> ReachChange:
    with board.trial(owner, writes) as trial:
        found = diff_of(trial)
        names = _Names(view, owner, trial.changes)
        gained = _share(names, found.gained, found.outwards_gained, found.forwards_gained)
        lost = _share(names, found.lost, found.outwards_lost, found.forwards_lost)
    return ReachChange(owner, gained, lost)


class _Naming(Protocol):
    def port(self, port_id: str) -> str: ...
    def dnat(self, name: str) -> str: ...


class _Names:
    """What things are called, those included that come or go."""

    def __init__(self, view: IntentView, owner: ProjectKey, changes: Changes) -> None:
        self._view = view
        self._owner = owner
        self._changes = changes

    def port(self, port_id: str) -> str:
        port = self._find(ThingKey("port", self._owner, port_id))
        return port.name or port.id if isinstance(port, Port) else port_id

    def dnat(self, name: str) -> str:
        dnat = self._find(ThingKey("dnat", self._owner, name))
        return dnat.external if isinstance(dnat, Dnat) else name

    def _find(self, key: ThingKey) -> Thing | None:
        return self._changes.get(key) or self._view.find(key)


def _share(
    names: _Naming, pairs: Iterable[Change], outwards: Mapping[str, Boxes], forwards: Mapping[str, Boxes]
) -> ReachShare:
    pairs = tuple(pairs)
    examples = (
        *islice(_pair_examples(names, pairs), EXAMPLES_MAX),
        *(
            ReachExample(names.port(port_id), INTERNET, services(packets))
            for port_id, packets in islice(outwards.items(), EXAMPLES_MAX)
        ),
        *(
            ReachExample(INTERNET, names.dnat(name), services(packets))
            for name, packets in islice(forwards.items(), EXAMPLES_MAX)
        ),
    )
    return ReachShare(sum(change.count for change in pairs), len(outwards), len(forwards), examples)


def _pair_examples(names: _Naming, changes: Iterable[Change]) -> Iterator[ReachExample]:
    for change in changes:
        packets = services(change.packets)
        yield from (ReachExample(names.port(one), names.port(other), packets) for one, other in change.pairs())
