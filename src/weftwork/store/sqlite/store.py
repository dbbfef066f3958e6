"""The embedded store as the rest sees it: `seams.store.Store` on one SQLite file."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from weftwork.base.errors import Failure
from weftwork.seams.store import Change, Compacted, Event, RangeResult, Record, Transaction
from weftwork.store.keys import check_key, check_prefix, check_transaction
from weftwork.store.recent import Entry, RecentChanges
from weftwork.store.sqlite.file import Lock, failures, make_directory, open_reader, open_writer, prepare
from weftwork.store.sqlite.reader import SLICE_ROWS, Reader
from weftwork.store.sqlite.writer import (
    Committed,
    Compaction,
    Order,
    Position,
    Waiting,
    Writer,
    read_position,
)

KEEP_REVISIONS = 100_000
"""So much history is kept for watches when nothing else is said."""
_GATHER_TURNS = 16
"""An idle loop makes them in some 50 µs, a tenth of a commit."""
_GATHER_MAX = 32
"""So many orders do not wait for more: the writer works while the loop takes others."""
_IN_FLIGHT_MAX = 4096
"""Transactions that wait for the disk at the same time; more callers wait for a place."""


class SqliteStore:
    """Open until `close`; belongs to the event loop that opened it.

    Cancelling a `commit` does not take it back: it may still happen. Watches end when the store is closed.
    """

    def __init__(self, files: "_Files", keep_revisions: int) -> None:
        """Use `open`."""
        self._path = files.path
        self._lock = files.lock
        self._reader = Reader(files.reading, files.path)
        self._revision = files.position.revision
        self._compacted = files.position.compacted
        self._recent = RecentChanges()
        self._orders: list[Order] = []
        self._places = asyncio.Semaphore(_IN_FLIGHT_MAX)
        self._waiting_watches: set[asyncio.Future[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(
            files.writing, files.path, keep_revisions=keep_revisions, loop=self._loop, landed=self._landed
        )
        self._writer.start()

    @classmethod
    async def open(cls, path: Path | str, *, keep_revisions: int = KEEP_REVISIONS) -> Self:
        """Failure STORE_LOCKED, _FOREIGN, _TOO_NEW, _CORRUPT or _UNAVAILABLE: then the file is as it was."""
        return cls(await asyncio.to_thread(_open_files, Path(path)), keep_revisions)

    async def get(self, key: str) -> Record | None:
        check_key(key)
        self._check_open()
        return self._reader.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> RangeResult:
        check_prefix(prefix)
        check_prefix(after)
        self._check_open()
        return await self._reader.range(prefix, after, limit)

    def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        for prefix in prefixes:
            check_prefix(prefix)
        self._check_open()
        return self._reader.scan(prefixes)

    async def commit(self, transaction: Transaction) -> int:
        check_transaction(transaction)
        async with self._places:
            self._check_open()
            answer: asyncio.Future[int] = self._loop.create_future()
            self._order(Waiting(transaction, answer))
            return await answer

    async def catch_up(self, prefix: str) -> int:
        """Nobody else writes, and watches wake before whoever wrote hears of it."""
        self._check_open()
        return 0

    async def compact(self, revision: int) -> None:
        """A revision still to come counts as the newest; rows go in small pieces, after the answer."""
        self._check_open()
        answer: asyncio.Future[None] = self._loop.create_future()
        self._order(Compaction(revision, answer))
        await answer

    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        check_prefix(prefix)
        self._check_open()
        if after < self._compacted:
            raise Compacted(self._compacted)
        position = after
        while self._closing is None:
            if position >= self._revision:
                await self._next_commit()
                continue
            for entry in self._entries_following(position):
                position = entry.revision
                if change := _change_under(prefix, entry):
                    yield change
            await asyncio.sleep(0)

    async def close(self) -> None:
        """What was committed before is carried out. Closing twice is fine."""
        if self._closing is None:
            self._hand_over()
            self._closing = self._loop.create_task(self._close())
            self._wake_watches()
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._reader.close()
        await self._writer.stop()
        self._lock.release()

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Failure("STORE_UNAVAILABLE", f"{self._path} was closed")

    def _order(self, order: Order) -> None:
        if not self._orders:
            self._loop.call_soon(self._gather, _GATHER_TURNS)
        self._orders.append(order)

    def _gather(self, turns: int) -> None:
        """Orders of a few turns of the loop go to the writer together: a commit costs the same for many as for one.

        In a busy loop a turn takes as long as a call does, and brings others; in one that is idle it takes no time.
        """
        if turns and len(self._orders) < _GATHER_MAX:
            self._loop.call_soon(self._gather, turns - 1)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._orders:
            self._writer.take(self._orders)
            self._orders = []

    def _landed(self, committed: Committed) -> None:
        """A commit is on the disk, or failed as a whole: watches and callers learn it in the same turn.

        Watches first: whoever hears that its commit is done finds that the views have seen it already.
        """
        self._revision = max(self._revision, committed.revision)
        self._compacted = max(self._compacted, committed.compacted)
        self._recent.extend(committed.entries)
        self._wake_watches()
        for answer, result in committed.answers:
            if answer.done():
                continue
            if isinstance(result, int):
                answer.set_result(result)
            else:
                answer.set_exception(result)
        for done, failure in committed.compactions:
            if done.done():
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

    def _wake_watches(self) -> None:
        for waiting in self._waiting_watches:
            if not waiting.done():
                waiting.set_result(None)

    async def _next_commit(self) -> None:
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._waiting_watches.add(waiting)
        try:
            await waiting
        finally:
            self._waiting_watches.discard(waiting)

    def _entries_following(self, position: int) -> list[Entry]:
        """From memory, or from the disk for a watch that is behind. Raises Compacted."""
        recent = self._recent.following(position, SLICE_ROWS)
        return self._reader.history(position) if recent is None else recent


@dataclass(frozen=True, slots=True)
class _Files:
    """All that is open on the disk, and where its history stands."""

    path: Path
    lock: Lock
    writing: sqlite3.Connection
    reading: sqlite3.Connection
    position: Position


def _open_files(path: Path) -> _Files:
    """Blocks: recovering the log after a crash takes its time."""
    with failures(path), ExitStack() as undo:
        make_directory(path.parent)
        lock = Lock(path)
        undo.callback(lock.release)
        prepare(path)
        writing = open_writer(path)
        undo.callback(writing.close)
        reading = open_reader(path)
        undo.callback(reading.close)
        files = _Files(path, lock, writing, reading, read_position(reading))
        undo.pop_all()
    return files


def _change_under(prefix: str, entry: Entry) -> Change | None:
    """What of it a watch of `prefix` sees; None for nothing."""
    events = tuple(Event(key, value) for key, value in entry.pairs if key.startswith(prefix))
    return Change(entry.revision, events) if events else None
