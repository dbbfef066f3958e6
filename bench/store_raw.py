"""What the store costs: durable commits per second of the store, beside bare SQLite writing the same rows.

Both write with WAL and synchronous=FULL on the same disk: `python bench/store_raw.py [SECONDS [DIRECTORY]]`.
"""

import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

from weftwork.seams.store import Put, Transaction, Unchanged
from weftwork.store.sqlite import SqliteStore

ROUNDS = 5
ROWS = 6
"""Keys written by one transaction, as the creation of a port does."""
IN_FLIGHT = 64
VALUE = os.urandom(300)


def keys_of(number: int, rows: int = ROWS) -> list[str]:
    """New keys, in one of 350 projects."""
    return [f"/networks/ports/org-{number % 50}/project-{number % 7}/{number:08x}-{row}" for row in range(rows)]


def raw_commits_per_s(path: Path, seconds: float, rows: int = ROWS) -> float:
    """One connection in a bare loop, one transaction of `rows` rows at a time; `path` is a new file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (key TEXT NOT NULL PRIMARY KEY, revision INTEGER, value BLOB) STRICT")
        started = time.perf_counter()
        for commits in count(1):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO t VALUES (?, ?, ?)", [(key, commits, VALUE) for key in keys_of(commits, rows)]
            )
            connection.execute("COMMIT")
            elapsed = time.perf_counter() - started
            if elapsed >= seconds:
                return commits / elapsed
    raise AssertionError("unreachable: the loop has no end")


def store_commits_per_s(path: Path, seconds: float, in_flight: int = IN_FLIGHT) -> float:
    """Transactions of 2 compares and 6 puts by `in_flight` callers, history and revisions included."""

    async def run() -> float:
        store = await SqliteStore.open(path)
        numbers = count(1)
        started = time.perf_counter()
        commits = 0

        async def caller() -> None:
            nonlocal commits
            while time.perf_counter() - started < seconds:
                keys = keys_of(next(numbers))
                compares = (Unchanged(keys[0], 0), Unchanged(keys[1], 0))
                await store.commit(Transaction(compares, tuple(Put(key, VALUE) for key in keys)))
                commits += 1

        await asyncio.gather(*(caller() for _ in range(in_flight)))
        rate = commits / (time.perf_counter() - started)
        await store.close()
        return rate

    return asyncio.run(run())


def main(seconds: float, directory: Path | None) -> None:
    """Alternating rounds, so that a busy machine is busy for all."""
    figures: dict[str, Callable[[Path, float], float]] = {
        "raw SQLite, 1 row": lambda path, s: raw_commits_per_s(path, s, rows=1),
        f"raw SQLite, {ROWS} rows": raw_commits_per_s,
        f"store, {IN_FLIGHT} in flight": store_commits_per_s,
        "store, 1 in flight": lambda path, s: store_commits_per_s(path, s, in_flight=1),
    }
    rates: dict[str, list[float]] = {name: [] for name in figures}
    for _ in range(ROUNDS):
        for name, measure in figures.items():
            with tempfile.TemporaryDirectory(dir=directory) as fresh:
                rates[name].append(measure(Path(fresh) / "bench.db", seconds))
    base = rates[f"raw SQLite, {ROWS} rows"]
    print(f"{'commits per second':28}{'median':>9}{'ratio to raw, ' + str(ROWS) + ' rows':>24}")
    for name, of_rounds in rates.items():
        ratio = statistics.median(mine / raw for mine, raw in zip(of_rounds, base, strict=True))
        print(f"{name:28}{statistics.median(of_rounds):9.0f}{ratio:24.2f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
