"""The SDK against a real server: answers that get lost, connections that break, and the same without an event loop."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from api_world import OURS, World, world

from weftwork.client import (
    AsyncClient,
    Client,
    Conflict,
    Exhausted,
    HistoryCompacted,
    Invalid,
    NotFound,
    SyncClient,
    Unavailable,
    calls,
)
from weftwork.client.access import AccessCalls
from weftwork.client.calls import backoff_s
from weftwork.client.sync import SyncAccess, SyncPackets
from weftwork.client.watching import PacketCalls


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "BACKOFF_S", 0.001)


Rpc = Callable[..., Awaitable[Any]]


@dataclass
class Losing:
    """A call that arrives, and whose first answers do not."""

    rpc: Rpc
    lost: int
    keys: list[str] = field(default_factory=list)

    async def __call__(self, request: Any, *, metadata: Any, **more: Any) -> Any:
        self.keys.append(dict(metadata).get("idempotency-key", ""))
        answer = await self.rpc(request, metadata=metadata, **more)
        if len(self.keys) <= self.lost:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "the answer is lost")
        return answer


def lose(client: Client, stub: str, name: str, lost: int = 2) -> Losing:
    losing = Losing(getattr(getattr(client, stub), name), lost)
    setattr(getattr(client, stub), name, losing)
    return losing


async def ports(client: Client) -> int:
    return len([one async for one in client.list_ports(OURS)])


async def test_a_port_without_a_name_is_made_once_however_often_its_answer_is_lost(here: World) -> None:
    before, losing = await ports(here.client), lose(here.client, "_network", "CreatePort")

    made = await here.client.create_port(OURS)
    assert await ports(here.client) == before + 1
    assert (await here.client.get_port(OURS, made.id)).id == made.id
    assert len(losing.keys) == 3
    assert len(set(losing.keys)) == 1


async def test_a_deletion_whose_answer_is_lost_is_no_failure(here: World) -> None:
    lose(here.client, "_network", "DeletePort")

    await here.client.delete_port(OURS, "p2")
    with pytest.raises(NotFound):
        await here.client.delete_port(OURS, "p2")


async def test_each_asking_of_a_change_is_a_change_of_its_own(here: World) -> None:
    losing = lose(here.client, "_network", "CreatePort", lost=0)
    change = here.client.create_port(OURS)

    first, second = await change, await change
    assert first.id != second.id
    assert losing.keys[0] != losing.keys[1]


async def test_what_can_be_repeated_without_harm_needs_no_key(here: World) -> None:
    losing = lose(here.client, "_network", "CreateSubnet")

    await here.client.create_subnet(OURS, "more")
    assert losing.keys == ["", "", ""]


async def test_asking_again_ends_with_the_attempts_and_with_the_time(here: World) -> None:
    async with await Client.connect(here.address, attempts=2) as client:
        losing = lose(client, "_network", "GetVpc", lost=9)
        with pytest.raises(Unavailable):
            await client.get_vpc(OURS)
        assert len(losing.keys) == 2


async def test_a_call_ends_with_its_time_however_many_attempts_are_left(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BACKOFF_S", 60.0)
    monkeypatch.setattr(calls, "BACKOFF_MAX_S", 60.0)
    losing = lose(here.client, "_network", "GetVpc", lost=9)

    with pytest.raises(Unavailable):
        await here.client.get_vpc(OURS)
    assert len(losing.keys) == 1


def test_pauses_grow_to_a_bound_and_are_not_those_of_the_others() -> None:
    pauses = [backoff_s(attempt) for attempt in (0, 1, 2, 30) for _ in range(20)]

    assert all(0 < pause <= calls.BACKOFF_MAX_S for pause in pauses)
    assert len(set(pauses)) > 70


async def test_errors_say_by_their_class_whose_turn_it_is(here: World) -> None:
    with pytest.raises(NotFound) as unknown:
        await here.client.get_port(OURS, "nobody")
    assert (unknown.value.reason, bool(unknown.value.hint)) == ("PORT_NOT_FOUND", True)
    with pytest.raises(Conflict) as in_use:
        await here.client.delete_vpc(OURS)
    assert (in_use.value.reason, bool(in_use.value.dependents)) == ("IN_USE", True)
    with pytest.raises(Invalid) as malformed:
        await here.client.create_subnet(OURS, "x", cidr="10.20.0.0/99")
    assert malformed.value.field == "cidr"
    with pytest.raises(Exhausted):
        await here.client.access.set_quota("acme", "web", limits={"subnet": 0})
        await here.client.create_subnet(OURS, "y")


# --- Watches ----------------------------------------------------------------------------------------------------------


@dataclass
class Wire:
    """Between a client and the server's socket; it can be cut, and mended."""

    target: str
    path: Path
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    async def mend(self) -> None:
        self.server = await asyncio.start_unix_server(self._connected, self.path)

    async def cut(self) -> None:
        assert self.server
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        self.path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.target.removeprefix("unix:"))
        self.writers += [writer, back]
        await asyncio.gather(_pour(reader, back), _pour(there, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
    except OSError:
        pass
    writer.close()


@asynccontextmanager
async def wired(here: World, tmp_path: Path) -> AsyncIterator[tuple[Wire, Client]]:
    wire = Wire(here.address, tmp_path / "wire.sock")
    await wire.mend()
    async with await Client.connect(wire.address) as client:
        yield wire, client
    await wire.cut()


async def test_a_watch_goes_on_after_a_lost_connection_and_misses_nothing(here: World, tmp_path: Path) -> None:
    async with wired(here, tmp_path) as (wire, client), asyncio.timeout(30):
        events = client.watch(OURS, kinds=["port"])
        seen: list[str] = []
        revision = 0

        async def until(name: str) -> None:
            nonlocal revision
            while name not in seen:
                event = await anext(events)
                assert event.revision == 0 or event.revision > revision
                revision = event.revision or revision
                seen.extend(change.thing.port.name for change in event.changes if not event.as_it_is)

        assert (await anext(events)).as_it_is
        await here.client.create_port(OURS, name="before")
        await until("before")
        await wire.cut()
        await here.client.create_port(OURS, name="between1")
        await here.client.create_port(OURS, name="between2")
        await wire.mend()
        await until("between2")
        await here.client.create_port(OURS, name="after")
        await until("after")

        assert seen == ["before", "between1", "between2", "after"]


async def test_a_watch_that_should_not_resume_ends(here: World, tmp_path: Path) -> None:
    async with wired(here, tmp_path) as (wire, client), asyncio.timeout(30):
        events = client.watch(OURS, resume=False)
        await anext(events)
        await wire.cut()
        with pytest.raises(Unavailable):
            while True:
                await anext(events)


async def test_a_revision_that_is_not_kept_any_more_is_told(here: World) -> None:
    revision = (await here.client.get_vpc(OURS)).revision
    for number in range(3):
        await here.client.create_port(OURS, name=f"more{number}")
    await here.store.compact(revision + 2)

    with pytest.raises(HistoryCompacted):
        await anext(here.client.watch(OURS, after=revision))


# --- Without an event loop --------------------------------------------------------------------------------------------


async def test_the_client_without_a_loop_does_the_same(here: World) -> None:
    def program() -> list[str]:
        with SyncClient(here.address, page_size=1) as client:
            client.create_port(OURS, name="p3")
            assert client.plan(Client.delete_port, OURS, "p3").objects
            assert client.get_port(OURS, "p3").name == "p3"
            assert next(iter(client.watch(OURS))).as_it_is
            with pytest.raises(NotFound):
                client.get_port(OURS, "p4")
            assert client.access.who_am_i().name
            return [port.name for port in client.list_ports(OURS)]

    assert sorted(await asyncio.to_thread(program)) == ["p1", "p2", "p3"]


async def test_inside_a_loop_the_client_without_one_says_which_to_take(here: World) -> None:
    with pytest.raises(RuntimeError, match=r"use weftwork\.client\.Client"):
        SyncClient(here.address)
    assert AsyncClient is Client


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"), [(Client, SyncClient), (AccessCalls, SyncAccess), (PacketCalls, SyncPackets)]
)
def test_the_client_without_a_loop_has_every_call(asynchronous: type, synchronous: type) -> None:
    """With the same arguments. A new call needs a line in client/sync.py."""
    for name, method in inspect.getmembers(asynchronous, inspect.isfunction):
        if name.startswith("_") or name == "close":
            continue
        assert hasattr(synchronous, name), f"SyncClient has no {name}"
        assert inspect.signature(getattr(synchronous, name)) == inspect.signature(method)
