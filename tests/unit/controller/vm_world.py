"""A server with a host of guests in memory, over a real store and API."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from weftwork.actions.network import Network, NetworkSettings, OnBus
from weftwork.actions.view import IntentView
from weftwork.agent.local import LocalAgent
from weftwork.api.server import serve
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.client import Client
from weftwork.client.messages import Vm
from weftwork.compiler.guests import GuestProfile
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.insight import ControllerInsight
from weftwork.controller.orchestration import Outbox, Requests, Statuses
from weftwork.controller.vm_host import VmHost
from weftwork.controller.vms import VmBoard
from weftwork.reconciler.reconciler import Pace
from weftwork.seams.bus import Bus
from weftwork.seams.images import Told
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.memory_guests import MemoryGuests

PROJECT = "acme/web"
HOST = "h1"
DIGEST = "sha256:" + "d" * 64


class Clock:
    def now_s(self) -> int:
        return 1_800_000_000


@dataclass(slots=True)
class Shelf:
    """Images by name; one that is not there is refused until it is put there."""

    images: dict[str, str] = field(default_factory=lambda: {"nginx": DIGEST})
    asked: list[str] = field(default_factory=list)

    async def fetch(self, name: str, told: Told) -> str:
        self.asked.append(name)
        told(f"fetched {name}: 1 of 2 MB")
        if name not in self.images:
            raise codes.IMAGE_NOT_FOUND.refusal(f"no registry has {name}")
        return self.images[name]


@dataclass(slots=True)
class World:
    client: Client
    guests: MemoryGuests
    shelf: Shelf
    store: SqliteStore

    async def until(self, name: str, is_so: Callable[[Vm], bool]) -> Vm:
        async with asyncio.timeout(10):
            async for event in self.client.watch_vms(PROJECT, name):
                if not event.deleted and is_so(event.vm):
                    return event.vm
        raise AssertionError("the watch has ended")


@asynccontextmanager
async def world(folder: Path, bus: Bus | None = None, foreign: str = "") -> AsyncIterator[World]:
    """With a bus, VMs are said there; `foreign` is the project for what other control planes ask for."""
    store = await SqliteStore.open(folder / "store.db")
    view = IntentView()
    await view.start(store)
    network = Network(store, view, Clock(), NetworkSettings(bus=OnBus("deployment", HOST) if bus else None))
    guests, shelf = MemoryGuests(), Shelf()
    vms = VmBoard(view, guests, Clock())
    agent = LocalAgent("here", guests, vms.take, Pace(retry_first_s=0.01))
    board = ConditionBoard(view, None, Clock())
    board.vms = vms
    host = VmHost(network, vms, agent, shelf, GuestProfile, lambda seed: f"ssh-ed25519 {seed.hex()[:8]}")
    socket = f"unix:{folder}/api.sock"
    on_bus = []
    if bus is not None:
        project = ProjectKey(*foreign.split("/")) if foreign else None
        outbox, statuses = Outbox(network, bus), Statuses(network, bus, vms, HOST)
        on_bus = [outbox.run(), statuses.run(), Requests(network, bus, HOST, project, "deployment").run()]
    insight = ControllerInsight(store, view, network.reach, None)
    try:
        async with (
            await serve(network=network, conditions=board, insight=insight, addresses=[socket], vms=vms),
            await Client.connect(socket) as client,
            asyncio.TaskGroup() as tasks,
        ):
            loops = [tasks.create_task(one) for one in (host.run(), board.follow_vms(), *on_bus)]
            await client.create_vpc(PROJECT)
            yield World(client, guests, shelf, store)
            for loop in loops:
                loop.cancel()
    finally:
        await view.close()
        await store.close()
