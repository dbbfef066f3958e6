"""VMs of a server, and what of them is said on the bus: put together from the settings."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from weftwork.actions.network import Network, OnBus
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure
from weftwork.base.tenancy import ProjectKey
from weftwork.bus.rabbit import RabbitBus
from weftwork.controller.orchestration import Outbox, Requests, Statuses, announce
from weftwork.seams.vms import NoVms, Vms

log = logging.getLogger(__name__)

AUDIT_S = 30.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenedVms:
    """`board` is what the API tells of VMs; `loops` run all the time."""

    board: Vms
    loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()


def on_bus(settings: Settings, deployment: str) -> OnBus | None:
    return OnBus(deployment, bus_name(settings)) if settings.bus_url else None


def bus_name(settings: Settings) -> str:
    """What this machine is called on the bus."""
    return settings.bus_name or socket.gethostname()


@asynccontextmanager
async def open_vms(settings: Settings, network: Network) -> AsyncIterator[OpenedVms]:
    async with AsyncExitStack() as stack:
        board: Vms = NoVms()
        if not settings.bus_url:
            yield OpenedVms(board)
            return
        bus = await stack.enter_async_context(RabbitBus(settings.bus_url))
        name, said = bus_name(settings), network.settings.bus
        assert said is not None, "a network with a bus knows what it is called there"
        project = ProjectKey(*settings.bus_project.split("/")) if settings.bus_project else None
        requests = Requests(network, bus, name, project, said.deployment)
        loops = (
            Outbox(network, bus).run,
            Statuses(network, bus, board, name).run,
            requests.run,
            partial(_announce, bus, name),
        )
        yield OpenedVms(board, loops)


async def _announce(bus: RabbitBus, name: str) -> None:
    """As soon as the broker is there."""
    while True:
        try:
            return await announce(bus, name, "UP")
        except Failure as failure:
            log.warning("%s", failure)
            await asyncio.sleep(1.0)
