"""Servers of stores die under 16 writers: nothing acknowledged is lost or doubled, watches miss and repeat nothing.

`make store-faults` kills many times; `make test` a few.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from store_kinds import Place

from weftwork.base.errors import Failure
from weftwork.seams.store import Change, Event, Put, Store, Transaction, Unchanged
from weftwork.store.etcd import EtcdStore
from weftwork.store.postgres import PostgresStore
from weftwork.testing.etcd_cluster import EtcdCluster
from weftwork.testing.patience import patient
from weftwork.testing.postgres_server import PostgresServer

KILLS = int(os.environ.get("WEFT_STORE_KILLS", "2"))
WRITERS = 16
SERVERS = 2
"""Processes' worth of stores over the same server, half of the writers at each."""
RUN_S = 1.0
"""How long writers go on after each kill, once they go on."""
FULL_DISK_PROGRAM = Path(__file__).with_name("full_server_disk.py")


class Ledger:
    """What was acknowledged, and what each watch told."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, tuple[Event, ...]] = {}
        self.failed: list[str] = []
        self.told: list[list[Change]] = []
        self.is_over = False

    async def write(self, store: Store, writer: int) -> None:
        """A counter under a compare that nobody else touches: a commit carried out twice, or guessed, is a Conflict."""
        number = revision = 0
        while not self.is_over:
            number += 1
            value = b"%d" % number
            puts = (Put(f"w/{writer}/{number}", value), Put(f"counter/{writer}", value))
            revision = await store.commit(Transaction((Unchanged(f"counter/{writer}", revision),), puts))
            self.acknowledged[revision] = tuple(Event(put.key, put.value) for put in puts)

    async def watch(self, store: Store) -> None:
        told: list[Change] = []
        self.told.append(told)
        async for change in store.watch("", after=0):
            told.append(change)
            if change.events[0].key == "end":
                return

    async def grown_by(self, commits: int) -> None:
        enough = len(self.acknowledged) + commits
        async with asyncio.timeout(patient(60.0)):
            while len(self.acknowledged) < enough:
                await asyncio.sleep(0.01)


async def kill_under_writers(place: Place, kill: Callable[[], None], revive: Callable[[], None]) -> str:
    stores = [await place.open() for _ in range(SERVERS)]
    ledger = Ledger()
    gaps: list[float] = []
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        watches = [tasks.create_task(ledger.watch(store)) for store in stores]
        writers = [tasks.create_task(ledger.write(stores[n % SERVERS], n)) for n in range(WRITERS)]
        for _ in range(KILLS):
            await ledger.grown_by(200)
            await asyncio.to_thread(kill)
            killed_at = loop.time()
            reviving = asyncio.create_task(asyncio.to_thread(revive))
            # What was on its way when it died is answered; one more for each writer came after.
            await ledger.grown_by(2 * WRITERS)
            gaps.append(loop.time() - killed_at)
            await reviving
            await asyncio.sleep(RUN_S)
        ledger.is_over = True
        await asyncio.wait(writers)
        end = await stores[0].commit(Transaction((), (Put("end", b""),)))
        ledger.acknowledged[end] = (Event("end", b""),)
        await asyncio.wait_for(asyncio.gather(*watches), patient(30.0))

    truth = [Change(revision, events) for revision, events in sorted(ledger.acknowledged.items())]
    for told in ledger.told:
        assert told == truth, "a watch missed, repeated or reordered something"
    found = {record.key: record for record in (await stores[1].range("")).records}
    written = {event.key for change in truth for event in change.events}
    lost = written - found.keys()
    doubled = len(found) - len(written)
    for change in truth:
        for event in change.events:
            if event.key.startswith("w/"):
                assert found[event.key].revision == change.revision
    doubts = sum(store.doubts for store in stores if isinstance(store, EtcdStore | PostgresStore))
    for store in stores:
        await store.close()
    assert not lost
    assert not doubled
    return (
        f"{place.kind}: {KILLS} kills under {WRITERS} writers, {len(truth)} acknowledged, {len(lost)} lost, "
        f"{doubled} doubled, {doubts} doubts cleared up; {len(ledger.told)} watches, nothing missed or repeated; "
        f"longest pause {max(gaps):.1f} s"
    )


@pytest.mark.slow
def test_killing_the_leader_of_etcd_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "etcd", members=3) as cluster:
        place = Place("etcd", server=",".join(cluster.endpoints)).fresh()
        said = asyncio.run(kill_under_writers(place, lambda: cluster.kill(cluster.leader()), cluster.start))
    print(said)


@pytest.mark.slow
def test_killing_postgres_loses_and_doubles_nothing(server_folder: Path) -> None:
    with PostgresServer(server_folder / "postgres") as server:
        place = Place("postgres", server=server.dsn, password_file=str(server.password_file)).fresh()
        said = asyncio.run(kill_under_writers(place, server.kill, server.start))
    print(said)


def test_a_store_that_is_away_for_long_fails_calls_with_words(
    server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And they work again when it is back."""
    for module in ("reader", "writer"):
        monkeypatch.setattr(f"weftwork.store.postgres.{module}.PATIENCE_S", 0.3)

    async def story(server: PostgresServer, place: Place) -> None:
        store = await place.open()
        first = await store.commit(Transaction((), (Put("k", b"1"),)))
        await asyncio.to_thread(server.kill)
        for call in (store.get("k"), store.range(""), store.commit(Transaction((), (Put("k", b"2"),)))):
            with pytest.raises(Failure) as failure:
                await call
            assert failure.value.code == "STORE_UNAVAILABLE"
            assert place.password() not in str(failure.value)
        await asyncio.to_thread(server.start)
        assert await store.commit(Transaction((Unchanged("k", first),), (Put("k", b"3"),))) == first + 1
        await store.close()

    with PostgresServer(server_folder / "postgres") as server:
        place = Place("postgres", server=server.dsn, password_file=str(server.password_file)).fresh()
        asyncio.run(story(server, place))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["etcd", "postgres"])
def test_a_full_disk_under_the_server_loses_nothing_and_commits_work_when_there_is_room(
    kind: str, server_folder: Path
) -> None:
    """On a file system of its own, in a mount namespace of its own."""
    script = f"mount -t tmpfs -o size=260m,mode=755 none {server_folder} && exec {sys.executable} {FULL_DISK_PROGRAM} "
    command = ["unshare", "--mount", "sh", "-c", f"{script} {kind} {server_folder}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            out, err = program.communicate(timeout=patient(90.0))
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGTERM)
            raise
    assert program.returncode == 0, err[-3000:]
    print(out.strip())
