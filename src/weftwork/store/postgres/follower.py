"""Follows the history table: NOTIFY says that there is more, the table says what. Nothing is missed or told twice."""

import asyncio
import logging

from weftwork.base.errors import Failure
from weftwork.seams.store import Compacted
from weftwork.store.followed import Followed
from weftwork.store.postgres.place import BROKEN, PostgresPlace
from weftwork.store.postgres.reader import Connection, Reader, read_history
from weftwork.store.postgres.writer import Batch

log = logging.getLogger(__name__)

_PAUSE_S = 0.2
_LOOK_S = 5.0
"""How long to believe a connection that says nothing."""


class Follower:
    def __init__(self, place: PostgresPlace, reader: Reader, followed: Followed) -> None:
        self._place = place
        self._reader = reader
        self._followed = followed
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except (*BROKEN, Failure) as error:
                log.info("%s: listens again: %s", self._place, error)
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        connection = await self._place.connect()
        news = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: news.set())
            await connection.add_listener(self._place.schema, lambda *_: news.set())
            while not connection.is_closed():
                news.clear()
                await self._catch_up(connection)
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await news.wait()
                except TimeoutError:
                    continue
        finally:
            connection.terminate()

    async def take(self, batch: Batch) -> None:
        """A batch of our own, which is committed: what others wrote before it comes first."""
        async with self._one_at_a_time:
            if self._followed.revision == batch.base:
                self._followed.extend(batch.entries, batch.revision)
                return
        try:
            while self._followed.revision < batch.revision:
                await self._reader.ask(self._catch_up)
        except Failure as failure:
            log.warning("%s", failure)  # The commit stands all the same; we listen again soon.

    async def catch_up(self) -> None:
        """To all that was committed before."""
        await self._reader.ask(self._catch_up)

    async def _catch_up(self, connection: Connection) -> None:
        followed = self._followed
        async with self._one_at_a_time:
            try:
                while entries := await read_history(connection, followed.revision):
                    followed.extend(entries, entries[-1].revision)
            except Compacted as compacted:
                log.warning("%s: was compacted beyond what this server has seen", self._place)
                followed.begin(compacted.revision)
