"""The one thread that writes: takes whatever waits, commits it together, answers when it is on the disk."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty as QueueEmpty
from queue import SimpleQueue
from threading import Thread

from weftwork.seams.store import Transaction
from weftwork.store.recent import Entry
from weftwork.store.sqlite.batch import Batch, write_batch
from weftwork.store.sqlite.file import failure_of

_BATCH_MAX = 256
"""Transactions in one commit: bounds how long the first of them waits for the last."""
_TRIM_PIECE = 256
"""Revisions of old history deleted at a time, about a millisecond of work."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A transaction and the caller who waits for its revision."""

    transaction: Transaction
    answer: asyncio.Future[int]


@dataclass(frozen=True, slots=True, eq=False)
class Compaction:
    """A wish to forget history up to `revision`."""

    revision: int
    answer: asyncio.Future[None]


Order = Waiting | Compaction


@dataclass(slots=True)
class Committed:
    """What the event loop learns about one commit, all at once."""

    answers: list[tuple[asyncio.Future[int], int | Exception]] = field(default_factory=list)
    compactions: list[tuple[asyncio.Future[None], Exception | None]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    revision: int = 0
    """The newest revision, and 0 when the commit failed; likewise `compacted`."""
    compacted: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """Where the history stands: its oldest row, the revision compacted, the newest."""

    oldest: int
    compacted: int
    revision: int


def read_position(connection: sqlite3.Connection) -> Position:
    (oldest, revision, compacted) = connection.execute(
        "SELECT (SELECT min(revision) FROM history), (SELECT max(revision) FROM history), value"
        " FROM meta WHERE name = 'compacted'"
    ).fetchone()
    return Position(oldest or 1, compacted, revision or 0)


class Writer:
    """Owns the writing connection and its thread from `start` to `stop`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        keep_revisions: int,
        loop: asyncio.AbstractEventLoop,
        landed: Callable[[Committed], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._keep_revisions = keep_revisions
        self._loop = loop
        self._landed = landed
        self._orders: SimpleQueue[list[Order] | None] = SimpleQueue()
        self._position = read_position(connection)
        self._is_in_doubt = False
        """After a commit failed, until one succeeds: a full disk is no reason to trim for ever."""
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, orders: list[Order]) -> None:
        """Never blocks. Bounded by the callers, who wait for their answers."""
        self._orders.put(orders)

    async def stop(self) -> None:
        """Carry out what was taken, then close the connection (which folds the log into the file)."""
        self._orders.put(None)
        await self._stopped

    def _run(self) -> None:
        orders: list[Order] = []
        open_for_orders = True
        while open_for_orders or orders:
            if open_for_orders:
                open_for_orders = self._gather(orders)
            batch, orders = orders[:_BATCH_MAX], orders[_BATCH_MAX:]
            if batch or self._trimmable():
                self._tell(self._landed, self._commit(batch))
        with suppress(sqlite3.Error):
            self._connection.close()
        self._tell(self._finish)

    def _finish(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        """A loop that is closed has nobody left to hear."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _gather(self, orders: list[Order]) -> bool:
        """Append what waits; wait for something unless there is work already. False once told to stop."""
        idle = not orders and not self._trimmable()
        with suppress(QueueEmpty):
            while len(orders) < _BATCH_MAX:
                taken = self._orders.get(block=idle)
                if taken is None:
                    return False
                orders += taken
                idle = False
        return True

    def _commit(self, orders: list[Order]) -> Committed:
        """All of it on the disk, or none: then every caller gets a failure, and the next starts afresh."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if self._is_in_doubt:
                self._position = read_position(connection)
            batch = write_batch(
                connection, [o.transaction for o in orders if isinstance(o, Waiting)], self._position.revision
            )
            position = self._forget(batch, orders)
            connection.execute("COMMIT")
        except Exception as error:
            with suppress(sqlite3.Error):
                connection.rollback()
            self._is_in_doubt = True
            return self._failed(orders, error)
        self._position = position
        self._is_in_doubt = False
        return _succeeded(orders, batch, position)

    def _forget(self, batch: Batch, orders: list[Order]) -> Position:
        """Move the compacted revision on when asked or due, and delete one piece of what lies before it."""
        old = self._position
        compacted = max(
            old.compacted, *(min(o.revision, batch.revision) for o in orders if isinstance(o, Compaction)), 0
        )
        if batch.revision - self._keep_revisions >= compacted + _TRIM_PIECE:
            compacted = batch.revision - self._keep_revisions
        if compacted > old.compacted:
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (compacted,))
        # The newest row stays for ever: it is what remembers the revision.
        oldest = max(old.oldest, min(old.oldest + _TRIM_PIECE, compacted + 1, batch.revision))
        if oldest > old.oldest:
            self._connection.execute("DELETE FROM history WHERE revision < ?", (oldest,))
        return Position(oldest, compacted, batch.revision)

    def _trimmable(self) -> bool:
        position = self._position
        return not self._is_in_doubt and position.oldest < min(position.compacted + 1, position.revision)

    def _failed(self, orders: list[Order], error: Exception) -> Committed:
        committed = Committed()
        for order in orders:
            reason = failure_of(error, self._path) if isinstance(error, sqlite3.Error) else error
            if isinstance(order, Waiting):
                committed.answers.append((order.answer, reason))
            elif isinstance(order, Compaction):
                committed.compactions.append((order.answer, reason))
        return committed


def _succeeded(orders: list[Order], batch: Batch, position: Position) -> Committed:
    waiting = [o.answer for o in orders if isinstance(o, Waiting)]
    return Committed(
        answers=list(zip(waiting, batch.results, strict=True)),
        compactions=[(o.answer, None) for o in orders if isinstance(o, Compaction)],
        entries=batch.entries,
        revision=position.revision,
        compacted=position.compacted,
    )
