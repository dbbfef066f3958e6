"""A store that notes which request made a revision, and tells what a commit took."""

from weftwork.seams.store import Store, Transaction
from weftwork.store.passing import PassingStore
from weftwork.telemetry.journeys import Following


class NotingStore(PassingStore):
    def __init__(self, store: Store, following: Following) -> None:
        super().__init__(store)
        self._following = following

    async def commit(self, transaction: Transaction) -> int:
        with self._following.spans.span("store commit", {"store.writes": len(transaction.writes)}):
            revision = await self._store.commit(transaction)
        self._following.journeys.note(revision)
        return revision
