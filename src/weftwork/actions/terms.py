"""What a caller asks of a change besides the change: that a thing is still as it was, and that it is made only once.

Both are compared in the change's own transaction, so that neither a race nor a crash can come between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from weftwork.actions import rows
from weftwork.actions.view import IntentView
from weftwork.base import codes
from weftwork.declare.probe import Probe
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.seams.clock import Clock
from weftwork.seams.store import Compare, Conflict, Put, Record, Remove, Store, Transaction, Unchanged

KEPT_S = 24 * 3600
"""How long the answer to a request is kept."""
SWEPT_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Expected:
    """The thing was last written at one of these revisions; with none, it is only there. It is found anew each time."""

    find: Callable[[], ThingKey]
    revisions: frozenset[int] = frozenset()

    def seen(self, view: IntentView) -> Compare:
        """To be held when committing. Refusal REVISION_CHANGED."""
        key = self.find()
        revision = view.revision_of(key)
        if self.revisions and revision not in self.revisions:
            raise codes.REVISION_CHANGED.refusal(f"the {key.kind} is at revision {revision}", revision=str(revision))
        return Unchanged(str(key), revision)


@dataclass(frozen=True, slots=True)
class Once:
    """A request that is carried out once, however often it comes. `name` says whose it is and which, `digest` what it
    says; `told` makes what is kept of an answer that is no thing."""

    name: str
    digest: str
    told: Callable[[Any], bytes]

    @property
    def key(self) -> str:
        return keys.request(self.name)


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The change undoes itself after `within_s` unless it is confirmed by its name, or at once if a probe fails."""

    name: str
    within_s: int
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    expected: tuple[Expected, ...] = ()
    once: Once | None = None
    unconfirmed: Unconfirmed | None = None
    still: tuple[str, int] | None = None
    """A record that is still what it was when it was last written at this revision."""


class Replayed(Exception):
    """The request was carried out before: `thing` was its outcome, as of `revision`, or else `answer`."""

    def __init__(self, thing: Thing | None, answer: bytes, revision: int) -> None:
        super().__init__("carried out before")
        self.thing = thing
        self.answer = answer
        self.revision = revision


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """`revision` is 0 when it is the record's own."""

    at: int
    digest: str
    revision: int = 0
    key: str = ""
    thing: msgspec.Raw = msgspec.Raw(b"null")
    answer: bytes = b""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Row).decode


async def first_time(store: Store, once: Once, now_s: int) -> Compare:
    """What must still hold when it is committed. Raises Replayed; Refusal IDEMPOTENCY_KEY_REUSED."""
    record = await store.get(once.key)
    if record is None:
        return Unchanged(once.key, 0)
    row = _decode(record.value)
    if row.at + KEPT_S <= now_s:
        return Unchanged(once.key, record.revision)
    if row.digest != once.digest:
        raise codes.IDEMPOTENCY_KEY_REUSED.refusal("the idempotency key was used for another request")
    raise _replayed(row, record)


def kept(once: Once, value: Any, now_s: int, *, revision: int = 0) -> Put:
    """The record of what was decided; `revision` of what is not written with it."""
    row = _Row(at=now_s, digest=once.digest, revision=revision)
    if isinstance(value, Thing):
        row.key, row.thing = str(rows.key_of(value)), msgspec.Raw(rows.encode(value))
    else:
        row.answer = once.told(value)
    return Put(once.key, _encode(row))


async def forget_old(store: Store, clock: Clock) -> int:
    """Removes the records that are older than they are kept; how many."""
    forgotten, after = 0, ""
    while True:
        found = await store.range(keys.REQUESTS, after=after, limit=SWEPT_AT_ONCE)
        old = [one for one in found.records if _decode(one.value).at + KEPT_S <= clock.now_s()]
        forgotten += await _remove(store, old)
        if not found.more:
            return forgotten
        after = found.records[-1].key


async def _remove(store: Store, old: list[Record]) -> int:
    if not old:
        return 0
    compares = tuple(Unchanged(one.key, one.revision) for one in old)
    try:
        await store.commit(Transaction(compares, tuple(Remove(one.key) for one in old)))
    except Conflict:
        return 0  # Another server did it, or a key was taken anew: the next time.
    return len(old)


def compares_of(view: IntentView, terms: Terms) -> Iterator[Compare]:
    """Refusal REVISION_CHANGED."""
    return (one.seen(view) for one in terms.expected)


def _replayed(row: _Row, record: Record) -> Replayed:
    key = parse_thing_key(row.key) if row.key else None
    thing = rows.decode(key, bytes(row.thing)) if key else None
    return Replayed(thing, row.answer, row.revision or record.revision)
