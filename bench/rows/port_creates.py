"""Durable port creates per second through gRPC, beside one writer's commits of bare SQLite on the same disk."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import creating
from bench.figure import Figure
from bench.run import Run
from bench.world import node

SECONDS = 2.0
IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Weight:
    """What one create writes: keys with their values, and the line of history, in bytes."""

    keys: int
    key_bytes: int
    value_bytes: int
    history_bytes: int


ONE_ROW = Weight(1, 60, 300, 0)


def measure(run: Run) -> list[Figure]:
    seconds = run.seconds(SECONDS)
    ours, weighed, bare, cpu_us = [], [], [], []
    for number in range(run.rounds):
        raw_first = number % 2 == 1
        if raw_first:
            bare.append(_raw(run, seconds, ONE_ROW))
        rate, weight, cpu = _creates_per_s(run, seconds)
        ours.append(rate)
        cpu_us.append(cpu)
        weighed.append(_raw(run, seconds, weight))
        if not raw_first:
            bare.append(_raw(run, seconds, ONE_ROW))
    what = f"port creates, {IN_FLIGHT} in flight"
    same = f"raw SQLite, {weight.keys} keys and history, {weight.history_bytes} B as one create"
    return [
        Figure(what, "per s", tuple(ours), tuple(weighed), same, must=0.25, aim=1.0, at_least=True),
        Figure(what, "per s", tuple(ours), tuple(bare), "raw SQLite, one row per commit"),
        Figure("processor time of the server per create", "µs", tuple(cpu_us)),
    ]


def _creates_per_s(run: Run, seconds: float) -> tuple[float, Weight, float]:
    """Creates per second, what one writes, and its microseconds of the server's processor time."""
    with node(run.fresh_folder("creates")) as running, running.cloud() as cloud:
        project = "/".join(creating.PROJECT)
        cloud.vpc(project, "10.32.0.0/12")
        cloud.subnet(project, creating.SUBNET, "10.40.0.0/14")
        before = _contents(running.folder / "store.db")
        command = [sys.executable, "-m", "bench.creating", running.address, str(seconds), str(IN_FLIGHT)]
        cpu_before_s = cpu_s(running.pid)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        created, took_s = int(done.stdout.split()[0]), float(done.stdout.split()[1])
        cpu_us = (cpu_s(running.pid) - cpu_before_s) / created * 1e6
        return created / took_s, _per_create(before, _contents(running.folder / "store.db"), created), cpu_us


def cpu_s(pid: int) -> float:
    """Processor time that a process has had: user and system (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Contents:
    keys: int
    key_bytes: int
    value_bytes: int
    revisions: int
    history_bytes: int


def _contents(path: Path) -> _Contents:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        latest = connection.execute("SELECT count(*), sum(length(key)), sum(length(value)) FROM latest").fetchone()
        history = connection.execute("SELECT count(*), sum(length(events)) FROM history").fetchone()
    return _Contents(*latest, *history)


def _per_create(before: _Contents, after: _Contents, created: int) -> Weight:
    keys = after.keys - before.keys
    assert keys >= created, "ports were created and are not in the store"
    return Weight(
        keys=round(keys / created),
        key_bytes=round((after.key_bytes - before.key_bytes) / keys),
        value_bytes=round((after.value_bytes - before.value_bytes) / keys),
        history_bytes=round((after.history_bytes - before.history_bytes) / (after.revisions - before.revisions)),
    )


def _raw(run: Run, seconds: float, weight: Weight) -> float:
    """Commits per second by one connection in a bare loop."""
    with _database(run.fresh_folder("raw") / "raw.db") as connection:
        value, history = bytes(weight.value_bytes), bytes(weight.history_bytes)
        began = time.perf_counter()
        for commits in count(1):
            keys = (f"{commits:08x}-{row}".ljust(weight.key_bytes, "k") for row in range(weight.keys))
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO latest VALUES (?, ?, ?)", [(key, commits, value) for key in keys])
            if history:
                connection.execute("INSERT INTO history VALUES (?, ?)", (commits, history))
            connection.execute("COMMIT")
            if (elapsed := time.perf_counter() - began) >= seconds:
                return commits / elapsed
    raise AssertionError("unreachable: the loop has no end")


@contextlib.contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE latest (key TEXT NOT NULL PRIMARY KEY, revision INTEGER, value BLOB) STRICT")
        connection.execute("CREATE TABLE history (revision INTEGER PRIMARY KEY, events BLOB NOT NULL) STRICT")
        yield connection
