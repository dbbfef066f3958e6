"""A store that passes everything on to another: what stands before one changes what it has to."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from weftwork.seams.store import Change, RangeResult, Record, Store, Transaction


class PassingStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def commit(self, transaction: Transaction) -> int:
        return await self._store.commit(transaction)

    async def get(self, key: str) -> Record | None:
        return await self._store.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> RangeResult:
        return await self._store.range(prefix, after=after, limit=limit)

    def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        return self._store.scan(prefixes)

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        return self._store.watch(prefix, after=after)

    async def catch_up(self, prefix: str) -> int:
        return await self._store.catch_up(prefix)

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def close(self) -> None:
        await self._store.close()
