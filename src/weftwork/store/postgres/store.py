"""The seam's store over PostgreSQL. Revisions are 1, 2, 3 …, given under a lock in the order they become visible."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Self

from weftwork.base.errors import Failure
from weftwork.seams.store import Change, Compacted, RangeResult, Record, Transaction
from weftwork.store.followed import Followed
from weftwork.store.keys import check_key, check_prefix, check_transaction
from weftwork.store.postgres.follower import Follower
from weftwork.store.postgres.place import PostgresPlace, failures
from weftwork.store.postgres.reader import Connection, Reader
from weftwork.store.postgres.tables import prepare
from weftwork.store.postgres.writer import Writer

KEEP_REVISIONS = 100_000
_IN_FLIGHT_MAX = 4096


class PostgresStore:
    """Open until `close`; belongs to the event loop that opened it. Several may be open over one database.

    Cancelling a `commit` does not take it back: it may still happen. Watches end when the store is closed.
    """

    def __init__(self, place: PostgresPlace, keep_revisions: int) -> None:
        """Use `open`."""
        self.place = place
        self.reader = Reader(place)
        self._followed = Followed()
        self._follower = Follower(place, self.reader, self._followed)
        self._writer = Writer(place, keep_revisions=keep_revisions, landed=self._follower.take)
        self._places = asyncio.Semaphore(_IN_FLIGHT_MAX)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, place: PostgresPlace, *, keep_revisions: int = KEEP_REVISIONS) -> Self:
        """Failure STORE_UNAVAILABLE when it is out of reach or does not let us in; STORE_TOO_NEW."""
        store = cls(place, keep_revisions)
        with failures(place):
            connection = await place.connect()
            try:
                await prepare(connection, place)
                position = await connection.fetchrow("SELECT revision, compacted FROM position")
            finally:
                connection.terminate()
        assert position is not None
        store._followed.begin(position["revision"])
        store._writer.compacted = position["compacted"]
        store._tasks = [asyncio.create_task(store._follower.run()), asyncio.create_task(store._writer.run())]
        return store

    @property
    def doubts(self) -> int:
        """Commits that were in doubt for a moment, because a connection broke; each was cleared up."""
        return self._writer.doubts

    async def get(self, key: str) -> Record | None:
        check_key(key)
        self._check_open()
        return await self.reader.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> RangeResult:
        check_prefix(prefix)
        check_prefix(after)
        self._check_open()
        return await self.reader.range(prefix, after, limit)

    def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        for prefix in prefixes:
            check_prefix(prefix)
        self._check_open()
        return self.reader.scan(prefixes)

    async def commit(self, transaction: Transaction) -> int:
        check_transaction(transaction)
        async with self._places:
            self._check_open()
            return await self._writer.take(transaction)

    async def catch_up(self, prefix: str) -> int:
        self._check_open()
        await self._follower.catch_up()
        return self._followed.newest(prefix)

    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        check_prefix(prefix)
        self._check_open()
        if after < self._writer.compacted:
            raise Compacted(self._writer.compacted)
        async for change in self._followed.watch(prefix, after, self.reader.history):
            yield change

    async def compact(self, revision: int) -> None:
        self._check_open()

        async def forget(connection: Connection) -> int:
            async with connection.transaction():
                position = await connection.fetchrow("SELECT revision, compacted FROM position FOR UPDATE")
                assert position is not None
                until = max(min(revision, position["revision"]), position["compacted"])
                await connection.execute("UPDATE position SET compacted = $1", until)
                await connection.execute("DELETE FROM history WHERE revision <= $1", until)
                return int(until)

        self._writer.compacted = max(self._writer.compacted, await self.reader.ask(forget))

    async def close(self) -> None:
        """What was committed before is carried out. Closing twice is fine."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        following, writing = self._tasks
        self._writer.stop()
        await asyncio.gather(writing, return_exceptions=True)
        self._followed.end()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        self.reader.close()

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Failure("STORE_UNAVAILABLE", f"{self.place} was closed")
