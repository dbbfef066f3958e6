"""The view follows the store: nothing is missed, and nobody waits for a slow reader."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from bench.filling import PORTS_EACH, fill
from weftwork.actions.network import Network
from weftwork.actions.ports import create_port, delete_port
from weftwork.actions.subnets import create_subnet
from weftwork.actions.view import IntentView, ViewChange
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.errors import Failure
from weftwork.model.keys import ThingKey
from weftwork.seams.store import Change, Compacted, RangeResult, Record, Store, Transaction
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import BLUE, RED, Intercepted, network_on


class Interrupted:
    """A store whose watches break off with `errors`, one each, before they tell anything more."""

    def __init__(self, store: Store, *errors: Exception) -> None:
        self._store = store
        self._errors = list(errors)
        self.watches = 0
        self.resume = asyncio.Event()

    async def get(self, key: str) -> Record | None:
        return await self._store.get(key)

    async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> RangeResult:
        return await self._store.range(prefix, after=after, limit=limit)

    def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        return self._store.scan(prefixes)

    async def commit(self, transaction: Transaction) -> int:
        return await self._store.commit(transaction)

    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        self.watches += 1
        await self.resume.wait()
        if self._errors:
            raise self._errors.pop(0)
        async for change in self._store.watch(prefix, after=after):
            yield change

    async def catch_up(self, prefix: str) -> int:
        return await self._store.catch_up(prefix)

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def close(self) -> None:
        await self._store.close()


async def next_of(changes: AsyncIterator[ViewChange]) -> ViewChange:
    async with asyncio.timeout(10):
        return await anext(changes)


async def test_what_is_there_in_the_beginning_is_a_change_to_be_waited_for(network: Network) -> None:
    made = await create_vpc(network, owner=RED, name="web", cidr=None)
    view = IntentView()
    await view.start(network.store)
    try:
        assert view.changed_at >= made.revision
    finally:
        await view.close()


async def test_a_subscriber_gets_every_change_and_a_slow_one_their_union(network: Network) -> None:
    changes = network.view.subscribe()
    await create_vpc(network, owner=RED, name="main", cidr=None)
    first = await next_of(changes)
    assert first.keys == {
        ThingKey("vpc", RED),
        ThingKey("subnet", RED, "default"),
        ThingKey("security-group", RED, "default"),
    }
    assert first.revision == network.view.revision

    ports = [(await create_port(network, owner=RED)).value for _ in range(3)]
    await delete_port(network, owner=RED, port=ports[0].id, cascade=False)
    union = await next_of(changes)
    assert union == ViewChange(network.view.revision, frozenset(ThingKey("port", RED, one.id) for one in ports))


async def test_the_view_tells_what_is_there_and_when_it_was_written(network: Network) -> None:
    made = await create_vpc(network, owner=RED, name="main", cidr=None)

    assert network.view.find(ThingKey("vpc", RED)) == made.value
    assert network.view.revision_of(ThingKey("vpc", RED)) == made.revision
    assert set(network.view.thing_keys()) == {
        ThingKey("vpc", RED),
        ThingKey("subnet", RED, "default"),
        ThingKey("security-group", RED, "default"),
    }
    await delete_vpc(network, owner=RED, cascade=False)
    assert network.view.find(ThingKey("vpc", RED)) is None
    assert network.view.revision_of(ThingKey("vpc", RED)) == 0
    assert network.view.intent == {}


async def test_a_view_that_starts_later_sees_the_same(network: Network) -> None:
    for owner in (RED, BLUE):
        await create_vpc(network, owner=owner, name="main", cidr=None)
        await create_port(network, owner=owner, name="a")
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    async with network_on(network.store) as other:
        assert other.view.intent == network.view.intent
        assert other.view.revision == network.view.revision
        assert other.view.pool_claims == network.view.pool_claims
        assert all(other.view.revision_of(key) == network.view.revision_of(key) for key in network.view.thing_keys())


@pytest.mark.parametrize("error", [Failure("STORE_UNAVAILABLE", "gone"), Compacted(1)])
async def test_a_broken_watch_is_taken_up_again_and_misses_nothing(tmp_path: Path, error: Exception) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    late = Interrupted(store, error)
    async with network_on(store) as writer:
        await create_vpc(writer, owner=BLUE, name="main", cidr=None)
        view = IntentView()
        await view.start(late)
        changes = view.subscribe()
        await create_vpc(writer, owner=RED, name="main", cidr=None)
        await delete_vpc(writer, owner=BLUE, cascade=False)
        late.resume.set()
        assert await view.wait_for(writer.view.revision)

        assert view.intent == writer.view.intent
        assert late.watches == 2
        seen: set[ThingKey] = set()
        while ThingKey("vpc", RED) not in seen or ThingKey("vpc", BLUE) not in seen:
            seen |= (await next_of(changes)).keys
        await view.close()
    await store.close()


async def test_waiting_for_a_revision_is_bounded(network: Network) -> None:
    assert not await network.view.wait_for(network.view.revision + 100, timeout_s=0.01)


async def test_when_the_store_is_closed_nobody_waits_for_ever(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as network:
        changes = network.view.subscribe()
        waiting = asyncio.create_task(network.view.wait_for(100, timeout_s=60))
        await asyncio.sleep(0)
        await store.close()
        async with asyncio.timeout(10):
            with pytest.raises(Failure, match="STORE_UNAVAILABLE"):
                await waiting
            with pytest.raises(StopAsyncIteration):
                await anext(changes)


class CutOff(Intercepted):
    """A store whose scans break off after their first pieces, when told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.error: Exception | None = None
        self.tried = asyncio.Event()

    async def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        async with aclosing(self._store.scan(prefixes)) as pieces:
            async for piece in pieces:
                yield piece
                if piece.records and self.error:
                    self.tried.set()
                    raise self.error

    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        if self.error:
            raise Compacted(after + 1)
        async for change in self._store.watch(prefix, after=after):
            yield change
            if self.error:
                raise Compacted(change.revision)


async def test_a_view_that_cannot_read_everything_again_shows_what_it_showed(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as writer:
        await create_vpc(writer, owner=BLUE, name="main", cidr=None)
        behind = CutOff(store)
        view = IntentView()
        await view.start(behind)
        behind.error = Failure("STORE_UNAVAILABLE", "gone")
        await create_vpc(writer, owner=RED, name="main", cidr=None)
        async with asyncio.timeout(10):
            await behind.tried.wait()

        assert view.find(ThingKey("subnet", BLUE, "default")) is not None
        behind.error = None
        assert await view.wait_for(writer.view.revision)
        assert view.intent == writer.view.intent
        await view.close()
    await store.close()


async def test_many_ports_take_little_memory(tmp_path: Path) -> None:
    """What docs/reference/benchmarks.md says of a server with 1,000,000 ports rests on it."""
    projects = 20
    fill(tmp_path / "store.db", projects)
    store = await SqliteStore.open(tmp_path / "store.db")
    view = IntentView()
    tracemalloc.start()
    await view.start(store)
    size_bytes, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await view.close()
    await store.close()

    ports = projects * PORTS_EACH
    assert sum(len(project.ports) for project in view.intent.values()) == ports
    assert size_bytes / ports < 1400
    assert peak_bytes < size_bytes * 1.5
