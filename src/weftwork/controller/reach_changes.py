"""What a mutation would change in who reaches whom, project by project, in names."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.model.nat import Dnat
from weftwork.model.port import Port
from weftwork.seams.insight import ReachChange, ReachExample, ReachShare
from weftwork.seams.store import Write
from weftwork.verifier.boxes import Boxes
from weftwork.verifier.diff import Change
from weftwork.verifier.trial import Changes, diff_of
from weftwork.verifier.words import services

INTERNET = "internet"
EXAMPLES_MAX = 3
"""Of each: pairs, ways out, ways in."""


def reach_changes(board: ReachBoard, view: IntentView, writes: tuple[Write, ...]) -> tuple[ReachChange, ...]:
    keys = (parse_thing_key(write.key) for write in writes)
    owners = dict.fromkeys(key.owner for key in keys if key is not None)
    return tuple(change for owner in owners if (change := _in_project(board, view, owner, writes)))


def _in_project(
    board: ReachBoard, view: IntentView, owner: ProjectKey, writes: tuple[Write, ...]
) -> ReachChange | None:
    with board.trial(owner, writes) as trial:
        found = diff_of(trial)
        names = _Names(view, owner, trial.changes)
        gained = _share(names, found.gained, found.outwards_gained, found.forwards_gained)
        lost = _share(names, found.lost, found.outwards_lost, found.forwards_lost)
    return ReachChange(owner, gained, lost) if gained or lost else None


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
    names: _Names, pairs: Iterable[Change], outwards: Mapping[str, Boxes], forwards: Mapping[str, Boxes]
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


def _pair_examples(names: _Names, changes: Iterable[Change]) -> Iterator[ReachExample]:
    for change in changes:
        packets = services(change.packets)
        yield from (ReachExample(names.port(one), names.port(other), packets) for one, other in change.pairs())
