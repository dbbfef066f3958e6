"""Lets go of lines of the journal and of the audit log that are old, so that a store does not grow for ever.

Lines are keyed by revision and kept by time. So once an hour the present revision is marked, and what was decided
before a mark that is old enough goes: at the cost of what goes, not of what stays. Of several servers one does it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.seams.clock import Clock
from weftwork.seams.store import Put, Record, Remove, Store, Transaction

log = logging.getLogger(__name__)

FIRST_S = 600
"""After the start there is more urgent work than this."""
EVERY_S = 3600
DAY_S = 86_400
LINES_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many days; 0: for ever."""

    journal_days: int = 0
    audit_days: int = 0


def always() -> bool:
    return True


class Retention:
    def __init__(self, store: Store, clock: Clock, kept: Kept, *, leads: Callable[[], bool] = always) -> None:
        """`leads` says whether it is this server's turn."""
        self._store = store
        self._clock = clock
        self._journal_s = kept.journal_days * DAY_S
        self._audit_s = kept.audit_days * DAY_S
        self._leads = leads

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_S if self._longest_s else 0)
        while self._longest_s:
            try:
                gone = await self.once() if self._leads() else 0
                if gone:
                    log.info("let go of %d old lines of the journal and the audit log", gone)
            except Failure as failure:
                log.warning("old lines of the journal stay for now: %s", failure)
            await asyncio.sleep(EVERY_S)

    @property
    def _longest_s(self) -> int:
        return max(self._journal_s, self._audit_s)

    async def once(self) -> int:
        """Marks the present, and lets go; how many lines went."""
        marks = (await self._store.range(keys.journal_mark())).records
        gone = 0
        if old := self._older(marks, self._journal_s):
            async for owner in self._owners():
                gone += await self._let_go(keys.journal(owner), int(old[-1].value))
        if old := self._older(marks, self._audit_s):
            gone += await self._let_go(keys.audit(), int(old[-1].value))
        present = await self._store.range(keys.journal_mark(), limit=1)
        mark = Put(keys.journal_mark(self._clock.now_s()), str(present.revision).encode())
        # The newest of the old ones stays: what is younger than it is not old yet.
        outlived = self._older(marks, self._longest_s)[:-1]
        await self._store.commit(Transaction((), (*(Remove(one.key) for one in outlived), mark)))
        return gone

    def _older(self, marks: tuple[Record, ...], keep_s: int) -> tuple[Record, ...]:
        """None when all is kept."""
        before_s = self._clock.now_s() - keep_s
        return tuple(one for one in marks if keep_s and keys.marked_at(one.key) <= before_s)

    async def _owners(self) -> AsyncIterator[ProjectKey]:
        after = ""
        while True:
            first = (await self._store.range(keys.JOURNAL, after=after, limit=1)).records
            if not first:
                return
            owner = keys.journal_owner(first[0].key)
            yield owner
            after = keys.journal(owner, keys.BEHIND_ALL)

    async def _let_go(self, lines: str, revision: int) -> int:
        """Of the lines that were decided before the revision: theirs are the stamps behind."""
        behind = f"{lines}{keys.journal_stamp(revision - 1)}"
        gone = 0
        while True:
            found = await self._store.range(lines, after=behind, limit=LINES_AT_A_TIME)
            if found.records:
                await self._store.commit(Transaction((), tuple(Remove(one.key) for one in found.records)))
                gone += len(found.records)
            if not found.more:
                return gone
