"""Fill a store until it has no room, then give it room again: `full_disk.py DIRECTORY limit|tmpfs`."""

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.seams.store import Put, Record, Transaction
from weftwork.store.sqlite import SqliteStore

BLOCK = os.urandom(100_000)


def no_room_by_limit(directory: Path) -> Callable[[], None]:
    """No file may grow above 1 MB; lifted by the call returned."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def no_room_on_tmpfs(directory: Path) -> Callable[[], None]:
    """All but 1 MB of the file system is taken; freed by the call returned."""
    ballast = directory / "ballast"
    free = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize
    ballast.write_bytes(bytes(free - 1_000_000))
    return ballast.unlink


async def main(directory: Path, how: str) -> None:
    store = await SqliteStore.open(directory / "weft.db")
    first = await store.commit(Transaction((), (Put("first", b"1"),)))
    make_room = {"limit": no_room_by_limit, "tmpfs": no_room_on_tmpfs}[how](directory)

    kept: dict[str, int] = {}
    codes: list[str] = []
    for number in range(100):
        keys = [f"k/{number}/{part}" for part in range(3)]
        # Three callers in one batch: they fail together or not at all.
        results = await asyncio.gather(
            *(store.commit(Transaction((), (Put(key, BLOCK),))) for key in keys), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, Failure)]
        kept |= {key: result for key, result in zip(keys, results, strict=True) if isinstance(result, int)}
        if failures:
            assert len(failures) == len(keys), results
            codes += [failure.code for failure in failures]
            break
    assert set(codes) == {"STORE_UNAVAILABLE"}, codes

    found = await store.range("")
    assert found.revision == first + len(kept)
    assert {r.key: r.revision for r in found.records} == {"first": first, **kept}
    assert await store.get("first") == Record("first", b"1", first)

    make_room()
    again = await store.commit(Transaction((), (Put("again", BLOCK),)))
    assert again == found.revision + 1
    watch = store.watch("", after=0)
    assert [(await anext(watch)).revision for _ in range(again)] == list(range(1, again + 1))
    await store.close()

    store = await SqliteStore.open(directory / "weft.db")
    assert await store.get("again") == Record("again", BLOCK, again)
    assert len((await store.range("")).records) == len(kept) + 2
    await store.close()
    print(f"full after {len(kept)} commits")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
