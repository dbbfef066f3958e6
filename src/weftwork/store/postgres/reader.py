"""Reads committed data over a few connections; a connection that broke is replaced, and the read done again."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import asyncpg

from weftwork.base.errors import Failure
from weftwork.seams.store import Compacted, RangeResult, Record
from weftwork.store.codec import decode_entry
from weftwork.store.keys import end_of, first_after
from weftwork.store.postgres.place import BROKEN, PostgresPlace, failure_of, is_passing
from weftwork.store.recent import Entry

CONNECTIONS_MAX = 8
PATIENCE_S = 20.0
_PAUSE_S = 0.1
_SLICE_ROWS = 512
_CURSOR_ROWS = 1000

_GET = "SELECT value, revision FROM latest WHERE key = $1"
_RANGE = (
    "SELECT key, value, revision FROM latest WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) ORDER BY key LIMIT $3"
)
_REVISION = "SELECT revision FROM position"
_HISTORY = "SELECT revision, events FROM history WHERE revision > $1 ORDER BY revision LIMIT $2"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")


class Reader:
    def __init__(self, place: PostgresPlace) -> None:
        self._place = place
        self._idle: list[Connection] = []
        self._turn = asyncio.Semaphore(CONNECTIONS_MAX)
        self._closed = False

    async def get(self, key: str) -> Record | None:
        row = await self.ask(lambda connection: connection.fetchrow(_GET, key.encode()))
        return Record(key, row["value"], row["revision"]) if row else None

    async def range(self, prefix: str, after: str, limit: int) -> RangeResult:
        bounds = (*_bounds(prefix, after), limit + 1 if limit else None)

        async def snapshot(connection: Connection) -> RangeResult:
            """However long it takes to read."""
            records: list[Record] = []
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                revision = await connection.fetchval(_REVISION)
                if limit and limit < _CURSOR_ROWS:
                    rows = await connection.fetch(_RANGE, *bounds)
                    records = [_record(row) for row in rows]
                else:
                    cursor = await connection.cursor(_RANGE, *bounds)
                    while rows := await cursor.fetch(_CURSOR_ROWS):
                        records += [_record(row) for row in rows]
            more = bool(limit) and len(records) > limit
            return RangeResult(tuple(records[:limit] if more else records), revision, more)

        return await self.ask(snapshot)

    async def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        """One snapshot for all; with a connection of its own, for nobody knows how long the reader takes."""
        if self._closed:
            raise Failure("STORE_UNAVAILABLE", f"{self._place} was closed")
        try:
            connection = await self._place.connect()
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    revision = await connection.fetchval(_REVISION)
                    yield RangeResult((), revision)
                    for prefix in prefixes:
                        cursor = await connection.cursor(_RANGE, *_bounds(prefix, ""), None)
                        while rows := await cursor.fetch(_CURSOR_ROWS):
                            yield RangeResult(tuple(map(_record, rows)), revision, True)
            finally:
                connection.terminate()
        except BROKEN as error:
            raise failure_of(error, self._place) from None

    async def history(self, after: int) -> list[Entry]:
        """The next slice of revisions behind `after`. Raises Compacted."""
        return await self.ask(lambda connection: read_history(connection, after))

    async def ask(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        """Failure STORE_UNAVAILABLE when no connection would do for long."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        async with self._turn:
            while True:
                try:
                    return await self._once(question)
                except BROKEN as error:
                    # Idle ones were made before whatever happened.
                    self._drop_idle()
                    if not is_passing(error) or asyncio.get_running_loop().time() >= deadline:
                        raise failure_of(error, self._place) from None
                await asyncio.sleep(_PAUSE_S)

    async def _once(self, question: Callable[[Connection], Awaitable[T]]) -> T:
        if self._closed:
            raise Failure("STORE_UNAVAILABLE", f"{self._place} was closed")
        connection = self._idle.pop() if self._idle else await self._place.connect()
        is_well = False
        try:
            answer = await question(connection)
            is_well = True
            return answer
        except Compacted:
            is_well = True
            raise
        finally:
            if is_well and not self._closed:
                self._idle.append(connection)
            else:
                connection.terminate()

    def close(self) -> None:
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()


async def read_history(connection: Connection, after: int) -> list[Entry]:
    """Rows first, then what was compacted: they are whole if it is not more than `after` even now. Raises Compacted."""
    rows = await connection.fetch(_HISTORY, after, _SLICE_ROWS)
    compacted = await connection.fetchval("SELECT compacted FROM position")
    if after < compacted:
        raise Compacted(compacted)
    return [decode_entry(row["revision"], row["events"]) for row in rows]


def _bounds(prefix: str, after: str) -> tuple[bytes, bytes | None]:
    high = end_of(prefix)
    return first_after(prefix, after).encode(), high.encode() if high else None


def _record(row: asyncpg.Record) -> Record:
    return Record(row["key"].decode(), row["value"], row["revision"])
