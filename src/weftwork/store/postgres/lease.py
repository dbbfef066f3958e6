"""Leading over PostgreSQL: a row says who, until when by the server's clock, and the term's number."""

import asyncio
import time
from uuid import uuid4

from weftwork.base.errors import Failure
from weftwork.store.postgres.store import PostgresStore
from weftwork.store.term import LeasedTerm

_RETRY_S = 1.0
_TAKE = """
UPDATE leader SET holder = $1, term = term + 1, until = clock_timestamp() + make_interval(secs => $2)
WHERE until < clock_timestamp() OR holder = $1 RETURNING term
"""
_RENEW = """
UPDATE leader SET until = clock_timestamp() + make_interval(secs => $3)
WHERE holder = $1 AND term = $2 AND until >= clock_timestamp() RETURNING term
"""
_RESIGN = "UPDATE leader SET until = '-infinity' WHERE holder = $1 AND term = $2"


class PostgresLeadership:
    """Over the connections of a store that is open. A row, and no advisory lock of a session: a server that is
    stopped keeps its session, and would keep the lock."""

    def __init__(self, store: PostgresStore, lease_s: float) -> None:
        self._reader = store.reader
        self._lease_s = lease_s

    async def elected(self) -> LeasedTerm:
        while True:
            try:
                term = await self._attempt()
            except Failure:
                term = None
            if term is not None:
                return term
            await asyncio.sleep(min(_RETRY_S, self._lease_s / 10))

    async def _attempt(self) -> LeasedTerm | None:
        holder = uuid4()
        asked_at = time.monotonic()
        # Asked twice because an answer was lost, it takes two numbers: that only makes the term a later one.
        number = await self._reader.ask(lambda connection: connection.fetchval(_TAKE, holder, self._lease_s))
        if number is None:
            return None

        async def renew() -> bool:
            renewed = await self._reader.ask(
                lambda connection: connection.fetchval(_RENEW, holder, number, self._lease_s)
            )
            return renewed is not None

        async def give_up() -> None:
            await self._reader.ask(lambda connection: connection.execute(_RESIGN, holder, number))

        return LeasedTerm(number, self._lease_s, asked_at, renew, give_up)
