"""The stores under test, by name: how to open each at a place of its own. A new store is one line here."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self
from uuid import uuid4

from weftwork.seams.store import Store
from weftwork.store.etcd import EtcdPlace, EtcdStore
from weftwork.store.postgres import PostgresPlace, PostgresStore
from weftwork.store.sqlite import SqliteStore

Story = Callable[[Store], Awaitable[None]]


@dataclass(frozen=True)
class Place:
    """Where a store of one kind keeps its data; opened again, it has what was committed.

    `server` is the endpoints of etcd, or PostgreSQL's DSN, whose password is in `password_file`; `name` is the part
    of it that is this store's.
    """

    kind: str
    path: str = ""
    server: str = ""
    password_file: str = ""
    name: str = ""

    @property
    def is_dense(self) -> bool:
        """Whether revisions are 1, 2, 3 …"""
        return self.kind != "etcd"

    @property
    def is_shared(self) -> bool:
        """Whether several processes may have it open."""
        return self.kind != "sqlite"

    def password(self) -> str:
        return Path(self.password_file).read_text().strip()

    def fresh(self) -> "Place":
        """Another one, with nothing in it, at the same server."""
        return replace(self, name=f"t{uuid4().hex}")

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(**json.loads(text))

    async def open(self, *, keep_revisions: int = 100_000) -> Store:
        return await KINDS[self.kind](self, keep_revisions)

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


async def _open_sqlite(place: Place, keep_revisions: int) -> Store:
    return await SqliteStore.open(Path(place.path) / "weft.db", keep_revisions=keep_revisions)


async def _open_etcd(place: Place, keep_revisions: int) -> Store:
    where = EtcdPlace(tuple(place.server.split(",")), prefix=f"/{place.name}/")
    return await EtcdStore.open(where, keep_revisions=keep_revisions)


async def _open_postgres(place: Place, keep_revisions: int) -> Store:
    where = PostgresPlace(place.server, schema=place.name, password=place.password())
    return await PostgresStore.open(where, keep_revisions=keep_revisions)


KINDS: dict[str, Callable[[Place, int], Awaitable[Store]]] = {
    "sqlite": _open_sqlite,
    "etcd": _open_etcd,
    "postgres": _open_postgres,
}
