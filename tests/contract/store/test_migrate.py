"""`weft store migrate`: everything is there afterwards, and nothing is mixed."""

import asyncio
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from store_kinds import Place

from weftwork.base.errors import Refusal
from weftwork.seams.store import Put, Store, Transaction
from weftwork.store.migrate import content, migrate


def settings_file(folder: Path, name: str, place: Place) -> Path:
    storage: dict[str, object] = {"backend": place.kind}
    match place.kind:
        case "sqlite":
            storage["path"] = f"{place.path}/weft.db"
        case "etcd":
            storage |= {"etcd_endpoints": place.server.split(","), "etcd_prefix": f"/{place.name}/"}
        case "postgres":
            storage |= {"postgres_dsn": place.server, "password_file": place.password_file}
            storage["postgres_schema"] = place.name
    file = folder / name
    file.write_text("[storage]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in storage.items()))
    return file


async def fill(place: Place) -> None:
    store = await place.open()
    puts = [Put(f"/networks/{n:04}/é", os.urandom(n % 700)) for n in range(2300)]
    for start in range(0, len(puts), 500):
        await store.commit(Transaction((), tuple(puts[start : start + 500])))
    await store.commit(Transaction((), (Put("large", bytes(1024 * 1024)), Put("nul\0", b""))))
    await store.close()


def test_everything_moves_into_an_empty_store_and_into_no_other(
    tmp_path: Path, etcd_server: Place, postgres_server: Place
) -> None:
    """SQLite → etcd → PostgreSQL → SQLite."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    places = [
        Place("sqlite", path=str(tmp_path / "a")),
        etcd_server.fresh(),
        postgres_server.fresh(),
        Place("sqlite", path=str(tmp_path / "b")),
    ]
    asyncio.run(fill(places[0]))
    files = [settings_file(tmp_path, f"{number}.toml", place) for number, place in enumerate(places)]
    said = []
    for source, target in pairwise(files):
        command = [sys.executable, "-m", "weftwork.apps.weft", "store", "migrate", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 1
        assert "STORE_NOT_EMPTY" in again.stderr
    assert len(set(said)) == 1
    assert "moved 2302 keys" in said[0]

    async def same() -> None:
        stores = [await place.open() for place in (places[0], places[-1])]
        first, last = [(await store.range("")).records for store in stores]
        assert [(r.key, r.value) for r in first] == [(r.key, r.value) for r in last]
        for store in stores:
            await store.close()

    asyncio.run(same())


def test_a_source_that_changes_under_the_move_is_noticed(tmp_path: Path) -> None:
    """Behind the page that was read already."""

    async def story() -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        source = await Place("sqlite", path=str(tmp_path / "a")).open()
        target = await Place("sqlite", path=str(tmp_path / "b")).open()
        await source.commit(Transaction((), tuple(Put(f"k/{n:04}", b"") for n in range(1500))))

        class Busy:
            """Somebody writes when the second page is read."""

            def __init__(self, store: Store) -> None:
                self._store = store

            async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> object:
                if after:
                    await source.commit(Transaction((), (Put("k/0000", b"new"),)))
                return await self._store.range(prefix, after=after, limit=limit)

        with pytest.raises(Refusal) as refused:
            await migrate(Busy(source), target)  # type: ignore[arg-type]
        assert refused.value.code == "STORE_NOT_MOVED"
        assert await content(source) != await content(target)
        await source.close()
        await target.close()

    asyncio.run(story())
