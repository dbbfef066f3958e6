"""The store: keys with revisions, transactions with compares, watches that miss nothing (the model of etcd v3).

A revision is one committed transaction, and a later one has a higher revision. What revisions lie between two that
follow each other is the store's affair: SQLite and PostgreSQL count 1, 2, 3 …, etcd shares its numbers with others.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

# What every commit makes by the dozen are msgspec's structs: made in a third of a dataclass' time, and as frozen.


class Record(Struct, frozen=True, gc=False):
    key: str
    value: bytes
    revision: int
    """The revision that last wrote the key."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Records in key order, all as of `revision`; `more` when `limit` cut the answer."""

    records: tuple[Record, ...]
    revision: int
    more: bool = False


class Unchanged(Struct, frozen=True, gc=False):
    """The key was last written at `revision`; 0 means it does not exist."""

    key: str
    revision: int


class Empty(Struct, frozen=True, gc=False):
    """No key that starts with `prefix` was written after revision `since`; with 0, there is no such key at all.

    Removals do not count: with `since`, one says "I have seen everything that is there".
    """

    prefix: str
    since: int = 0


Compare = Unchanged | Empty


class Put(Struct, frozen=True, gc=False):
    key: str
    value: bytes


class Remove(Struct, frozen=True, gc=False):
    key: str


Write = Put | Remove


class Transaction(Struct, frozen=True):
    """All writes, if every compare holds; else none. No key is written twice. Keys at most 1 KiB, values 1 MiB."""

    compares: tuple[Compare, ...]
    writes: tuple[Write, ...]


class Event(Struct, frozen=True, gc=False):
    """One write: `value` is None for a removal. Removals of absent keys make no event."""

    key: str
    value: bytes | None


class Change(Struct, frozen=True):
    """All events of one revision, in the order they were written."""

    revision: int
    events: tuple[Event, ...]


class Conflict(Exception):
    """A compare did not hold; nothing was written.

    Who has seen everything up to `revision` has seen what was in the way.
    """

    def __init__(self, failed: tuple[Compare, ...], revision: int) -> None:
        super().__init__(f"{len(failed)} compares failed at revision {revision}: {failed[:3]}")
        self.failed = failed
        self.revision = revision


class Compacted(Exception):
    """History before `revision` is gone: read the range again and watch from there."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"history before revision {revision} was compacted")
        self.revision = revision


class Store(Protocol):
    """Every method may raise Failure("STORE_UNAVAILABLE") when the store is out of reach or full."""

    async def get(self, key: str) -> Record | None: ...

    async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> RangeResult:
        """Records whose key starts with `prefix` and sorts behind `after`; no limit when 0."""
        ...

    def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        """All records under each prefix, all as of one revision, a piece at a time and at least one piece.

        For more than one wants in memory. Close it when it is left. Raises Compacted when the revision was forgotten
        meanwhile.
        """
        ...

    async def commit(self, transaction: Transaction) -> int:
        """The new revision, once durable: it survives SIGKILL and power loss. Raises Conflict.

        A transaction that changes nothing (no writes, or removals of absent keys only) still gets a revision.
        """
        ...

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        """Every change to keys under `prefix` with revision > `after`, in order, none twice; then waits.

        Raises Compacted when `after` is older than the history kept.
        """
        ...

    async def catch_up(self, prefix: str) -> int:
        """Returns once this process' watches could tell of all that was committed before, by whomever.

        The revision of the newest change under `prefix`, as far as it is remembered; else 0.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision`; current values stay."""
        ...

    async def close(self) -> None: ...
