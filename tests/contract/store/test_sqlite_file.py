"""The SQLite store's file: who may read it, who may open it, and what happens when it or the disk is bad."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from weftwork.base.errors import Failure
from weftwork.seams.store import Put, Record, Transaction
from weftwork.store.sqlite import SqliteStore

FULL_DISK_PROGRAM = Path(__file__).with_name("full_disk.py")
HOLD_PROGRAM = """
import asyncio, sys
from weftwork.store.sqlite import SqliteStore
async def main():
    await SqliteStore.open(sys.argv[1])
    print("open", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def filled(path: Path, records: int = 300) -> None:
    """A closed store with some pages in it."""
    store = await SqliteStore.open(path)
    await store.commit(Transaction((), tuple(Put(f"k/{n}", bytes(500)) for n in range(records))))
    await store.close()


def refusal(path: Path) -> str:
    """The code with which opening fails; the file is untouched."""
    before = path.read_bytes()
    with pytest.raises(Failure) as failure:
        asyncio.run(SqliteStore.open(path))
    assert path.read_bytes() == before
    assert str(path) in failure.value.message
    return failure.value.code


async def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        store = await SqliteStore.open(tmp_path / "state" / "weft.db")
        await store.commit(Transaction((), (Put("k", b"secret"),)))
        assert mode(tmp_path / "state") == 0o700
        names = {path.name for path in (tmp_path / "state").iterdir()}
        assert names == {"weft.db", "weft.db-wal", "weft.db-shm", "weft.db-lock"}
        assert {mode(path) for path in (tmp_path / "state").iterdir()} == {0o600}
        await store.close()
    finally:
        os.umask(old_mask)


async def test_a_file_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    await filled(tmp_path / "weft.db")
    (tmp_path / "weft.db").chmod(0o644)
    await (await SqliteStore.open(tmp_path / "weft.db")).close()
    assert mode(tmp_path / "weft.db") == 0o600


async def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    """The settings that make a commit survive power loss, as SQLite reports them."""
    store = await SqliteStore.open(tmp_path / "weft.db")
    writing = store._writer._connection
    assert writing.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writing.execute("PRAGMA synchronous").fetchone() == (2,)
    await store.close()


async def test_a_second_opening_in_this_process_is_refused(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    with pytest.raises(Failure) as failure:
        await SqliteStore.open(tmp_path / "weft.db")
    assert failure.value.code == "STORE_LOCKED"
    assert str(os.getpid()) in failure.value.message
    await store.commit(Transaction((), (Put("k", b""),)))
    await store.close()
    await (await SqliteStore.open(tmp_path / "weft.db")).close()


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    with subprocess.Popen([sys.executable, "-c", HOLD_PROGRAM, path], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"open\n"
            with pytest.raises(Failure) as failure:
                asyncio.run(SqliteStore.open(path))
            assert failure.value.code == "STORE_LOCKED"
            assert str(holder.pid) in failure.value.message
        finally:
            holder.kill()
    asyncio.run(filled(path))


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    assert refusal(path) == "STORE_FOREIGN"


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    asyncio.run(filled(path))
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 999")
    assert refusal(path) == "STORE_TOO_NEW"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    path.write_bytes(b"certainly not a database\n" * 1000)
    assert refusal(path) == "STORE_CORRUPT"


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    asyncio.run(filled(path))
    os.truncate(path, path.stat().st_size // 2)
    assert refusal(path) == "STORE_CORRUPT"


def test_an_overwritten_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    asyncio.run(filled(path))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    assert refusal(path) == "STORE_CORRUPT"


async def test_damage_found_later_is_a_failure_and_not_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    await filled(path, records=3000)
    content = bytearray(path.read_bytes())
    # Leaves in the middle of the tree of values: opening looks at both ends only.
    for page in range(len(content) // 4096 // 4, len(content) // 4096 // 3):
        content[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    path.write_bytes(content)
    store = await SqliteStore.open(path)
    with pytest.raises(Failure) as failure:
        await store.range("")
    assert failure.value.code == "STORE_CORRUPT"
    await store.close()


async def test_a_place_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure) as failure:
        await SqliteStore.open(tmp_path / "file" / "weft.db")
    assert failure.value.code == "STORE_UNAVAILABLE"
    (tmp_path / "directory").mkdir()
    with pytest.raises(Failure) as failure:
        await SqliteStore.open(tmp_path / "directory")
    assert failure.value.code == "STORE_UNAVAILABLE"


async def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    """What a crash leaves between making the file and making its tables."""
    (tmp_path / "weft.db").touch()
    store = await SqliteStore.open(tmp_path / "weft.db")
    assert await store.commit(Transaction((), (Put("k", b"v"),))) == 1
    assert await store.get("k") == Record("k", b"v", 1)
    await store.close()


async def test_old_history_leaves_the_disk_while_nobody_writes(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    store = await SqliteStore.open(path)
    await asyncio.gather(*(store.commit(Transaction((), (Put("k", b""),))) for _ in range(3000)))
    await store.compact(2900)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as look:
        async with asyncio.timeout(10):
            while look.execute("SELECT min(revision) FROM history").fetchone() != (2901,):
                await store.get("k")
                await asyncio.sleep(0)
        assert look.execute("SELECT count(*) FROM history").fetchone() == (100,)
    await store.close()


async def test_kept_history_is_bounded_while_many_write(tmp_path: Path) -> None:
    path = tmp_path / "weft.db"
    store = await SqliteStore.open(path, keep_revisions=500)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as look:
        for _ in range(30):
            await asyncio.gather(*(store.commit(Transaction((), (Put("k", b""),))) for _ in range(100)))
            (rows,) = look.execute("SELECT count(*) FROM history").fetchone()
            assert rows <= 500 + 2 * 256 + 100
    await store.close()


async def test_a_batch_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """The first transaction is written already when the second finds no room."""
    store = await SqliteStore.open(tmp_path / "weft.db")
    await store.commit(Transaction((), (Put("before", b""),)))
    writing = store._writer._connection
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages + 5}")
    transactions = [Transaction((), (Put("small", b"1"),)), Transaction((), (Put("large", bytes(1_000_000)),))]
    results = await asyncio.gather(*map(store.commit, transactions), return_exceptions=True)
    assert [getattr(result, "code", result) for result in results] == ["STORE_UNAVAILABLE"] * 2
    assert [record.key for record in (await store.range("")).records] == ["before"]

    assert await store.commit(transactions[0]) == 2
    writing.execute("PRAGMA max_page_count = 1000000")
    assert await store.commit(transactions[1]) == 3
    await store.close()


def run_full_disk(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("full after ")


def test_a_write_error_fails_the_batch_and_later_commits_work(tmp_path: Path) -> None:
    run_full_disk(sys.executable, FULL_DISK_PROGRAM, tmp_path, "limit")


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk_fails_the_batch_and_commits_work_when_there_is_room(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=8m none "$2" && exec "$0" "$1" "$2" tmpfs'
    run_full_disk("unshare", "--mount", "sh", "-c", script, sys.executable, FULL_DISK_PROGRAM, tmp_path)
