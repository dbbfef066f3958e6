"""VMs on the bus, heard and asked for by somebody who knows nothing but Pitwall's contract."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from vm_world import HOST, PROJECT, World, world

from weftwork.base.errors import Failure
from weftwork.bus.memory import MemoryBus
from weftwork.bus.rabbit import RabbitBus
from weftwork.model import keys
from weftwork.rpc.generated.pitwall.v1.vm_pb2 import VM
from weftwork.seams.bus import Bus, Message
from weftwork.testing.patience import patient
from weftwork.testing.rabbit_server import RabbitServer

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDEr26m73SlLqH3cm1aj8fQ7xhFNDJw2fA0EmNlS0rNQ fred"
WAIT_S = patient(20.0)
_INT, _STRING, _BOOL, _MESSAGE = 3, 9, 8, 11


def _pitwalls() -> Any:
    """Pitwall's own messages, from what is written of them: names, numbers and types, and nothing of ours."""
    file = descriptor_pb2.FileDescriptorProto(name="theirs.proto", package="theirs", syntax="proto3")
    shapes: dict[str, list[tuple[str, int, int, str]]] = {
        "CreateVMRequest": [
            ("id", 1, _INT, ""),
            ("imageName", 2, _STRING, ""),
            ("publicKey", 3, _STRING, ""),
            ("name", 4, _STRING, ""),
            ("owner", 5, _STRING, ""),
        ],
        "StopVMRequest": [("id", 1, _INT, "")],
        "VMRequest": [
            ("type", 1, _INT, ""),
            ("create", 2, _MESSAGE, "CreateVMRequest"),
            ("stop", 3, _MESSAGE, "StopVMRequest"),
        ],
        "Service": [
            ("name", 1, _STRING, ""),
            ("port", 2, _INT, ""),
            ("private", 3, _BOOL, ""),
            ("protocol", 4, _STRING, ""),
        ],
        "VM": [
            ("id", 1, _INT, ""),
            ("imageName", 2, _STRING, ""),
            ("status", 3, _STRING, ""),
            ("host", 4, _STRING, ""),
            ("privateIp", 5, _STRING, ""),
            ("services", 6, _MESSAGE, "*Service"),
            ("name", 7, _STRING, ""),
            ("owner", 8, _STRING, ""),
        ],
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            label = 3 if of.startswith("*") else 1
            type_name = f".theirs.{of.lstrip('*')}" if of else None
            message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = message_factory.GetMessageClassesForFiles(["theirs.proto"], pool)
    return type("Theirs", (), {name.partition(".")[2]: made for name, made in classes.items()})


THEIRS = _pitwalls()


class Terminator:
    """Listens on Pitwall's queues, as its terminator and its web application do."""

    def __init__(self, bus: Bus) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._bus = bus
        self._news = asyncio.Event()

    @asynccontextmanager
    async def on(self) -> AsyncIterator["Terminator"]:
        queues = {
            "orchestrator.vm.status.web": "orchestrator.vm.status.*",
            f"orchestrator.vm.status.terminator.running.{HOST}": "orchestrator.vm.status.RUNNING",
            f"orchestrator.vm.status.terminator.stopped.{HOST}": "orchestrator.vm.status.STOPPED",
        }
        tasks = [
            asyncio.create_task(self._bus.consume(queue, binding, lambda one, queue=queue: self._take(queue, one)))  # type: ignore[misc]
            for queue, binding in queues.items()
        ]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, queue: str, is_so: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while True:
                for where, vm in self.heard:
                    if where.startswith(queue) and is_so(vm):
                        return vm
                self._news.clear()
                await self._news.wait()

    async def _take(self, queue: str, message: Message) -> None:
        self.heard.append((queue, THEIRS.VM.FromString(message.body)))
        self._news.set()


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with RabbitServer(tmp_path_factory.mktemp("rabbit") / "node") as server:
        yield server


@asynccontextmanager
async def bus_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if kind == "memory":
        yield MemoryBus()
        return
    async with RabbitBus(request.getfixturevalue("rabbit").url) as bus:
        yield bus


@pytest.mark.parametrize("kind", ["memory", "rabbit"])
async def test_who_knows_pitwalls_contract_sees_a_vm_run_and_stop(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with bus_of(kind, request) as bus, Terminator(bus).on() as theirs, world(tmp_path, bus) as here:
        made = await here.client.create_vm(PROJECT, "nginx", name="web")
        running = await theirs.until("orchestrator.vm.status.terminator.running", lambda vm: vm.name == "web")
        assert (running.status, running.host, running.imageName, running.owner) == ("RUNNING", HOST, "nginx", "web")
        assert running.privateIp == made.nics[0].ip_addresses[0] and running.id > 0

        await here.client.stop_vm(PROJECT, "web")
        stopped = await theirs.until("orchestrator.vm.status.terminator.stopped", lambda vm: vm.name == "web")
        assert (stopped.status, stopped.id) == ("STOPPED", running.id)

        await here.client.start_vm(PROJECT, "web")
        await here.client.delete_vm(PROJECT, "web")
        async with asyncio.timeout(WAIT_S):
            while len([1 for queue, _ in theirs.heard if "terminator.stopped" in queue]) < 2:
                await asyncio.sleep(0.02)
        assert (await here.store.range(keys.outbox())).records == ()


async def test_another_control_plane_asks_for_a_vm_once_however_often_it_says_so(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with Terminator(bus).on() as theirs, world(tmp_path, bus, foreign=PROJECT) as here:
        create = THEIRS.CreateVMRequest(id=42, imageName="nginx", publicKey=KEY, name="freds", owner="fred")
        body = THEIRS.VMRequest(type=0, create=create).SerializeToString()
        for number in range(3):
            await bus.publish(Message(f"orchestrator.vm.crud.{HOST}", body, f"m{number}"))
        running = await theirs.until("orchestrator.vm.status.terminator.running", lambda vm: vm.id == 42)
        assert (running.name, running.owner) == ("freds", "fred")
        assert [one.name async for one in here.client.list_vms(PROJECT)] == ["freds"]
        (guest,) = here.guests.guests.values()
        assert guest.authorized_keys == (KEY,)

        stop = THEIRS.VMRequest(type=1, stop=THEIRS.StopVMRequest(id=42)).SerializeToString()
        await bus.publish(Message(f"orchestrator.vm.crud.{HOST}", stop, "s"))
        await theirs.until("orchestrator.vm.status.terminator.stopped", lambda vm: vm.id == 42)


@pytest.mark.parametrize(
    ("image", "foreign", "reason"), [("no image", PROJECT, "INVALID_IMAGE_REFERENCE"), ("nginx", "", "NO_VMS_HERE")]
)
async def test_what_cannot_be_is_said_to_be_an_error_and_lets_others_pass(
    tmp_path: Path, image: str, foreign: str, reason: str
) -> None:
    bus = MemoryBus()
    async with Terminator(bus).on() as theirs, world(tmp_path, bus, foreign=foreign):
        create = THEIRS.CreateVMRequest(id=7, imageName=image, name="x")
        bodies = (b"\xff\xff", THEIRS.VMRequest(type=0, create=create).SerializeToString())
        for number, body in enumerate(bodies):
            await bus.publish(Message(f"orchestrator.vm.crud.{HOST}", body, f"m{number}"))
        wrong = await theirs.until("orchestrator.vm.status.web", lambda vm: vm.id == 7)
        assert wrong.status == "ERROR"
        assert VM.FromString(wrong.SerializeToString()).reason == reason, "ours is there for who can read it"


class _Broken(MemoryBus):
    """Out of reach until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.is_mended = False

    async def publish(self, message: Message) -> None:
        if not self.is_mended:
            raise Failure("BUS_UNAVAILABLE", "nobody is there")
        await super().publish(message)


async def test_what_was_committed_while_the_bus_was_away_is_said_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weftwork.controller.orchestration.RETRY_S", 0.02)
    bus = _Broken()
    requests: list[bytes] = []

    async def take(message: Message) -> None:
        requests.append(message.body)

    async with world(tmp_path, bus) as here:
        listening = asyncio.create_task(bus.consume("mine", "orchestrator.vm.crud.*", take))
        await here.client.create_vm(PROJECT, "nginx", name="web")
        await here.client.stop_vm(PROJECT, "web")
        assert await _outbox_is(here, 2), "both are kept"
        bus.is_mended = True
        assert await _outbox_is(here, 0)
        asked = [THEIRS.VMRequest.FromString(one) for one in requests]
        assert [one.type for one in asked] == [0, 1] and asked[0].create.id == asked[1].stop.id
        listening.cancel()


async def _outbox_is(here: World, count: int) -> bool:
    async with asyncio.timeout(WAIT_S):
        while len((await here.store.range(keys.outbox())).records) != count:
            await asyncio.sleep(0.02)
    return True
