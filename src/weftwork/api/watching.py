"""The WatchService: a project as it is, and every change of it, from a revision on; out of the store's own history."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from google.protobuf.message import Message

from weftwork.actions import rows
from weftwork.actions.network import Network, Stored
from weftwork.api import network_policies, peerings, reach_tests, shares, ssh_keys, telling, vms
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Thing
from weftwork.model.keys import ROOT, Kind, ThingKey, parse_thing_key, peer_in
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import watch_pb2 as pb
from weftwork.seams.conditions import Condition, ConditionChange
from weftwork.seams.store import Change, Compacted, Event

WATCH = "/weftwork.v1.WatchService/Watch"
TOLD_AT_ONCE = 200
"""Changes in one event."""
QUIET_MAX = 500
"""Revisions of others before a watch is told how far it is, so that it need not start anew after a long silence."""

_TELLERS: Mapping[Kind, Callable[[Doors, Any], Message]] = {
    "vpc": Doors.vpc,
    "subnet": Doors.subnet,
    "port": Doors.port,
    "security-group": Doors.security_group,
    "snat": Doors.snat,
    "dnat": Doors.dnat,
    "peering": peerings.told,
    "network-policy": network_policies.told,
    "reach-test": reach_tests.told,
    "subnet-share": shares.told,
    "vm": vms.told,
    "ssh-key": ssh_keys.told,
}


class _Unsaid:
    """What hosts have made of a thing is told by a watch of its own."""

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        return ()

    async def watch(self) -> AsyncIterator[ConditionChange]:
        raise AssertionError("nobody asks")
        yield


async def watch(doors: Doors, request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
    """Refusal HISTORY_COMPACTED."""
    owner = decode.owner(request)
    kinds = frozenset(decode.each(decode.kind, request.kinds, "kinds"))
    doors = replace(doors, conditions=_Unsaid())
    network, after = doors.network, request.after
    if after:
        await _check_known(network, after)
    else:
        after = network.view.revision
        for event in _as_it_is(doors, _things(network, owner, kinds), after):
            yield event
    told = after
    try:
        async with aclosing(network.store.watch(ROOT, after=after)) as history:  # type: ignore[type-var]
            async for change in history:
                # How a thing is told depends on others: on its VPC, or on a peer's half.
                await network.view.wait_for(change.revision)
                changes = list(_changes(doors, owner, kinds, change))
                if changes or change.revision - told >= QUIET_MAX:
                    told = change.revision
                    for event in _events(changes, change.revision):
                        yield event
    except Compacted as compacted:
        message = f"what happened up to revision {compacted.revision} is not kept any more"
        raise codes.HISTORY_COMPACTED.refusal(message, revision=str(compacted.revision)) from None


async def _check_known(network: Network, after: int) -> None:
    """A revision that is still to come is one of another store, or of this one before a backup was put back."""
    newest = (await network.store.range(ROOT, limit=1)).revision
    if after > newest:
        raise codes.HISTORY_COMPACTED.refusal(
            f"there is no revision {after} yet: the store is at {newest}", revision=str(newest)
        )


def _things(network: Network, owner: ProjectKey, kinds: frozenset[Kind]) -> list[tuple[ThingKey, Thing, int]]:
    """All of the project at this moment."""
    project = network.view.project(owner)
    found = ((rows.key_of(thing), thing) for thing in (project.things() if project else ()))
    revision_of = network.view.revision_of
    return [(key, thing, revision_of(key)) for key, thing in found if not kinds or key.kind in kinds]


def _as_it_is(doors: Doors, things: list[tuple[ThingKey, Thing, int]], revision: int) -> Iterable[pb.WatchEvent]:
    changes = (_changed(doors, key, thing, at) for key, thing, at in things)
    for event in _events(list(changes), revision):
        event.as_it_is = True
        yield event


def _events(changes: list[pb.WatchedChange], revision: int) -> Iterable[pb.WatchEvent]:
    """Only the last has the revision: whoever goes on behind it has seen them all."""
    parts = [changes[at : at + TOLD_AT_ONCE] for at in range(0, len(changes), TOLD_AT_ONCE)] or [[]]
    for part in parts[:-1]:
        yield pb.WatchEvent(changes=part)
    yield pb.WatchEvent(revision=revision, changes=parts[-1])


def _changes(doors: Doors, owner: ProjectKey, kinds: frozenset[Kind], change: Change) -> Iterable[pb.WatchedChange]:
    for event in change.events:
        key = parse_thing_key(event.key)
        if key is None:
            continue
        if key.owner == owner and (not kinds or key.kind in kinds):
            yield _written(doors, key, event, change.revision)
        elif key.kind == "peering" and peer_in(key) == owner and (not kinds or "peering" in kinds):
            # The other project's half: ours is active with it, and pending without.
            mine = ThingKey("peering", owner, str(key.owner))
            half = doors.network.view.find(mine)
            if half is not None:
                yield _changed(doors, mine, half, doors.network.view.revision_of(mine))


def _written(doors: Doors, key: ThingKey, event: Event, revision: int) -> pb.WatchedChange:
    if event.value is None:
        return pb.WatchedChange(resource=telling.resource(key), deleted=True)
    return _changed(doors, key, rows.decode(key, event.value), revision)


def _changed(doors: Doors, key: ThingKey, thing: Thing, revision: int) -> pb.WatchedChange:
    message: Any = _TELLERS[key.kind](doors, Stored(thing, revision))
    told = pb.Thing(**{key.kind.replace("-", "_"): message})
    return pb.WatchedChange(resource=telling.resource(key), thing=told)
