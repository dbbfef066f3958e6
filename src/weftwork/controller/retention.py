"""Lets go of lines of the journal that are old, so that a store does not grow for ever.

Lines are keyed by revision and kept by time. So once an hour the present revision is marked, and what was decided
before a mark that is old enough goes: at the cost of what goes, not of what stays.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from weftwork.base.errors import Failure
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.seams.clock import Clock
from weftwork.seams.store import Put, Remove, Store, Transaction

log = logging.getLogger(__name__)

FIRST_S = 600
"""After the start there is more urgent work than this."""
EVERY_S = 3600
DAY_S = 86_400
LINES_AT_A_TIME = 500


class Retention:
    def __init__(self, store: Store, clock: Clock, *, keep_days: int) -> None:
        """`keep_days` 0: for ever."""
        self._store = store
        self._clock = clock
        self._keep_s = keep_days * DAY_S

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_S if self._keep_s else 0)
        while self._keep_s:
            try:
                gone = await self.once()
                if gone:
                    log.info("let go of %d lines of the journal", gone)
            except Failure as failure:
                log.warning("old lines of the journal stay for now: %s", failure)
            await asyncio.sleep(EVERY_S)

    async def once(self) -> int:
        """Marks the present, and lets go; how many lines went."""
        now_s = self._clock.now_s()
        marks = (await self._store.range(keys.journal_mark())).records
        old = [one for one in marks if keys.marked_at(one.key) <= now_s - self._keep_s]
        gone = 0
        if old:
            revision = int(old[-1].value)
            async for owner in self._owners():
                gone += await self._let_go(owner, revision)
        present = await self._store.range(keys.journal_mark(), limit=1)
        mark = Put(keys.journal_mark(now_s), str(present.revision).encode())
        # The newest of the old ones stays: what is younger than it is not old yet.
        await self._store.commit(Transaction((), (*(Remove(one.key) for one in old[:-1]), mark)))
        return gone

    async def _owners(self) -> AsyncIterator[ProjectKey]:
        after = ""
        while True:
            first = (await self._store.range(keys.JOURNAL, after=after, limit=1)).records
            if not first:
                return
            owner = keys.journal_owner(first[0].key)
            yield owner
            after = keys.journal(owner, keys.BEHIND_ALL)

    async def _let_go(self, owner: ProjectKey, revision: int) -> int:
        """Of the lines that were decided before the revision: theirs are the stamps behind."""
        gone = 0
        while True:
            lines = await self._store.range(
                keys.journal(owner), after=keys.journal(owner, keys.journal_stamp(revision - 1)), limit=LINES_AT_A_TIME
            )
            if lines.records:
                await self._store.commit(Transaction((), tuple(Remove(one.key) for one in lines.records)))
                gone += len(lines.records)
            if not lines.more:
                return gone
