"""The server as a client meets it: how it listens, what it says of itself, and what happens to calls that wait."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from api_world import OURS, NoHostConditions, NoHostInsight, World, world
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from wire import services

from weftwork.api.server import Server, serve
from weftwork.base.errors import Failure
from weftwork.base.tenancy import ProjectKey
from weftwork.client import ApiError, Client, resource_ref
from weftwork.model.keys import ThingKey
from weftwork.seams.conditions import Condition, ConditionChange, Status


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@asynccontextmanager
async def another(here: World, address: str, **more: object) -> AsyncIterator[Server]:
    """A second server over the same network."""
    parts = {"conditions": NoHostConditions(), "insight": NoHostInsight()} | more
    async with await serve(network=here.network, addresses=[address], **parts) as server:  # type: ignore[arg-type]
        yield server


async def test_the_socket_is_its_owners_alone_and_goes_with_the_server(here: World, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "api.sock"

    async with another(here, f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    assert not path.exists()


async def test_a_socket_somebody_listens_on_is_not_taken(here: World) -> None:
    with pytest.raises(Failure, match="another server"):
        async with another(here, here.address):
            pass

    assert await here.client.is_serving()


async def test_a_socket_left_behind_is_replaced(here: World, tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async with another(here, f"unix:{path}"), await Client.connect(f"unix:{path}") as client:
        assert await client.is_serving()


async def test_a_file_in_the_place_of_the_socket_is_left_alone(here: World, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")

    with pytest.raises(Failure, match="no socket"):
        async with another(here, f"unix:{tmp_path}/precious"):
            pass

    assert (tmp_path / "precious").read_text() == "data"


async def test_two_servers_do_not_share_a_port(here: World) -> None:
    async with another(here, "127.0.0.1:0") as first:
        with pytest.raises(Failure, match="cannot listen"):
            async with another(here, first.addresses[0]):
                pass


async def test_until_it_is_ready_the_server_says_so_and_takes_no_call(here: World, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/slow.sock"
    async with another(here, address, is_ready=False) as server, await Client.connect(address, timeout_s=0.5) as client:
        assert not await client.is_serving()
        with pytest.raises(ApiError) as refused:
            await client.get_vpc(OURS)
        assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_READY")

        await server.set_ready()

        assert await client.is_serving()
        assert (await client.get_vpc(OURS)).id == OURS


async def test_a_read_waits_for_a_server_that_is_not_ready_yet(here: World, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/slow.sock"
    async with another(here, address, is_ready=False) as server, await Client.connect(address) as client:
        reading = asyncio.create_task(client.get_vpc(OURS))
        while not server.turned_away:
            await asyncio.sleep(0)
        await server.set_ready()

        assert (await reading).id == OURS


async def test_reflection_and_health_know_every_service(here: World) -> None:
    names = {service.full_name for service in services()}

    def described() -> set[str]:
        with grpc.insecure_channel(here.address) as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    assert names | {"grpc.health.v1.Health"} <= await asyncio.to_thread(described)
    health = health_pb2_grpc.HealthStub(here.channel)
    for name in names:
        reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_call_that_is_given_up_changes_all_or_nothing(here: World) -> None:
    """However early the caller leaves: each port has its claims, and no claim is without a port."""
    for patience_s in (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008):
        creating = [asyncio.ensure_future(here.client.create_port(OURS)) for _ in range(20)]
        await asyncio.sleep(patience_s)
        for call in creating:
            call.cancel()
        await asyncio.gather(*creating, return_exceptions=True)
    await here.client.create_port(OURS)  # behind all others in the store's queue

    keys = [record.key for record in await here.records()]
    ports = [key for key in keys if key.startswith(f"/networks/ports/{OURS}/")]
    assert len([key for key in keys if key.startswith(f"/networks/macs/{OURS}/")]) == len(ports)
    assert len([key for key in keys if key.startswith(f"/networks/ipam/{OURS}/")]) == len(ports)


async def test_a_plan_refuses_what_the_call_would_and_stores_nothing(here: World) -> None:
    before = await here.records()

    plan = await here.client.create_port(OURS, name="p9").plan()
    with pytest.raises(ApiError) as refused:
        await here.client.create_port(OURS, ip="10.99.0.1").plan()

    assert any("/networks/ports/acme/web/" in line for line in plan.objects)
    assert refused.value.reason == "IP_OUTSIDE_SUBNET"
    assert await here.records() == before


class Changing(NoHostConditions):
    """Programmed only once a test says so."""

    def __init__(self) -> None:
        self.status = Status.FALSE
        self.changes: asyncio.Queue[ConditionChange] = asyncio.Queue()
        self.listeners = 0

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        return (Condition("Programmed", self.status, "", "", revision, 0),) if revision else ()

    async def watch(self) -> AsyncIterator[ConditionChange]:
        self.listeners += 1
        try:
            while True:
                yield await self.changes.get()
        finally:
            self.listeners -= 1


async def test_a_wait_ends_when_the_hosts_have_made_it_so(here: World, tmp_path: Path) -> None:
    conditions, address = Changing(), f"unix:{tmp_path}/w.sock"
    ref = resource_ref("port", OURS, "p1")
    async with another(here, address, conditions=conditions), await Client.connect(address) as client:
        waiting = asyncio.create_task(client.wait_programmed(ref, timeout_s=20))
        while not conditions.listeners:
            await asyncio.sleep(0)
        key = ThingKey("port", ProjectKey("acme", "web"), here.port_id)
        revision = here.network.view.revision_of(key)
        conditions.changes.put_nowait(ConditionChange(key, conditions.of(key, revision)))
        conditions.status = Status.TRUE
        conditions.changes.put_nowait(ConditionChange(key, conditions.of(key, revision)))

        event = await waiting
        late = await client.wait_programmed(ref, revision=revision + 1000, timeout_s=0.01)

    assert event.met and not event.deleted
    assert event.resource.id == here.port_id
    assert not late.met
    assert conditions.listeners == 0


async def test_a_watch_tells_how_it_is_and_then_what_changes(here: World, tmp_path: Path) -> None:
    conditions, address = Changing(), f"unix:{tmp_path}/w.sock"
    async with another(here, address, conditions=conditions), await Client.connect(address) as client:
        watch = client.watch_conditions(OURS, kind="port", id="p1")
        first = await anext(watch)
        key = ThingKey("port", ProjectKey("acme", "web"), here.port_id)
        conditions.changes.put_nowait(ConditionChange(key, ()))
        second = await anext(watch)
        await watch.aclose()  # type: ignore[attr-defined]
        while conditions.listeners:
            await asyncio.sleep(0)

    assert (first.resource.id, first.deleted) == (here.port_id, False)
    assert (second.resource.id, second.deleted) == (here.port_id, True)


async def test_lists_come_in_pages_and_are_read_as_one(here: World) -> None:
    for _ in range(7):
        await here.client.create_port(OURS)

    for size in (1, 2, 3, 9, 1000):
        async with await Client.connect(here.address, page_size=size) as client:
            ids = [port.id async for port in client.list_ports(OURS)]
        assert len(ids) == len(set(ids)) == 9


async def test_nobody_at_the_address_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as refused:
        await Client.connect(f"unix:{tmp_path}/nobody.sock")

    assert refused.value.reason == "SERVER_UNREACHABLE"
    assert refused.value.hint
