"""Reads committed data, in slices short enough for the event loop.

They run on the loop itself: a row costs a microsecond there, but a thread beside a busy loop waits up to
milliseconds for the interpreter's lock after every row (measured: 300 rows in 460 ms).
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from weftwork.seams.store import Compacted, RangeResult, Record
from weftwork.store.codec import decode_entry
from weftwork.store.keys import end_of, first_after
from weftwork.store.recent import Entry
from weftwork.store.sqlite.batch import BEYOND_TEXT
from weftwork.store.sqlite.file import failures, open_reader

SLICE_ROWS = 256
SLICE_BYTES = 1024 * 1024
"""A slice ends with the row that reaches either."""
_RANGES_MAX = 8
"""Ranges read at the same time, each with a connection of its own, for its snapshot."""


class Reader:
    """Owns the reading connections. Errors are Failure STORE_CORRUPT or STORE_UNAVAILABLE."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._turn = asyncio.Semaphore(_RANGES_MAX)
        self._closed = False

    def get(self, key: str) -> Record | None:
        """3 µs for a small value, some hundred for the largest."""
        with failures(self._path):
            row = self._connection.execute("SELECT value, revision FROM latest WHERE key = ?", (key,)).fetchone()
        return Record(key, *row) if row else None

    async def range(self, prefix: str, after: str, limit: int) -> RangeResult:
        """One snapshot, however many slices it takes."""
        records: list[Record] = []
        with failures(self._path):
            async with self._snapshot() as connection:
                revision = _newest(connection)
                rows = _rows(connection, prefix, after, limit + 1 if limit else -1)
                while _read_slice(rows, records):  # noqa: ASYNC110 - gives way, waits for nothing
                    await asyncio.sleep(0)
        more = bool(limit) and len(records) > limit
        return RangeResult(tuple(records[:limit] if more else records), revision, more)

    async def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        """One snapshot for all of them."""
        with failures(self._path):
            async with self._snapshot() as connection:
                revision = _newest(connection)
                yield RangeResult((), revision)
                for prefix in prefixes:
                    rows, more = _rows(connection, prefix, "", -1), True
                    while more:
                        records: list[Record] = []
                        more = _read_slice(rows, records)
                        yield RangeResult(tuple(records), revision, more)
                        await asyncio.sleep(0)

    def history(self, after: int) -> list[Entry]:
        """The next slice of revisions behind `after`. Raises Compacted."""
        connection = self._connection
        entries: list[Entry] = []
        with failures(self._path):
            connection.execute("BEGIN")
            try:
                (compacted,) = connection.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
                if after < compacted:
                    raise Compacted(compacted)
                size_bytes = 0
                for revision, packed in connection.execute(
                    "SELECT revision, events FROM history WHERE revision > ? ORDER BY revision LIMIT ?",
                    (after, SLICE_ROWS),
                ):
                    entries.append(decode_entry(revision, packed))
                    size_bytes += len(packed)
                    if size_bytes >= SLICE_BYTES:
                        break
            finally:
                connection.rollback()
        return entries

    def close(self) -> None:
        """Ranges under way end with their snapshot; their connections are closed then."""
        self._closed = True
        for connection in (self._connection, *self._idle):
            connection.close()
        self._idle.clear()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[sqlite3.Connection]:
        async with self._turn:
            connection = self._idle.pop() if self._idle else open_reader(self._path)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.rollback()
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)


def _newest(connection: sqlite3.Connection) -> int:
    (revision,) = connection.execute("SELECT coalesce(max(revision), 0) FROM history").fetchone()
    return int(revision)


def _rows(connection: sqlite3.Connection, prefix: str, after: str, limit: int) -> sqlite3.Cursor:
    return connection.execute(
        "SELECT key, value, revision FROM latest WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
        (first_after(prefix, after), end_of(prefix) or BEYOND_TEXT, limit),
    )


def _read_slice(rows: sqlite3.Cursor, records: list[Record]) -> bool:
    """Append the next rows of the cursor; False when they were the last."""
    rows_left, bytes_left = SLICE_ROWS, SLICE_BYTES
    for key, value, revision in rows:
        records.append(Record(key, value, revision))
        rows_left -= 1
        bytes_left -= len(value)
        if rows_left <= 0 or bytes_left <= 0:
            return True
    return False
