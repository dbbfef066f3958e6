"""The stores under test, by name: how to open each at a place of its own. A new store is one line here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from weftwork.seams.store import Store
from weftwork.store.sqlite import SqliteStore


async def _open_sqlite(place: Path, keep_revisions: int) -> Store:
    return await SqliteStore.open(place / "weft.db", keep_revisions=keep_revisions)


KINDS: dict[str, Callable[[Path, int], Awaitable[Store]]] = {"sqlite": _open_sqlite}

Story = Callable[[Store], Awaitable[None]]


@dataclass(frozen=True)
class Place:
    """Where a store of one kind keeps its data; opened again, it has what was committed."""

    kind: str
    path: Path

    async def open(self, *, keep_revisions: int = 100_000) -> Store:
        return await KINDS[self.kind](self.path, keep_revisions)

    def tell(self, story: Story, *, bound_s: float = 60) -> None:
        """Open, let the story happen, close."""

        async def whole() -> None:
            store = await self.open()
            try:
                async with asyncio.timeout(bound_s):
                    await story(store)
            finally:
                await store.close()

        asyncio.run(whole())
