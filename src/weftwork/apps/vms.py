"""This machine as a host of VMs, and what of it is said on the bus: put together from the settings."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from weftwork.actions.network import Network, OnBus
from weftwork.agent.local import LocalAgent
from weftwork.allocator.placement import Offer
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.guests import GuestProfile
from weftwork.controller.leading import Fence, FencedDriver
from weftwork.controller.orchestration import Outbox, Requests, Statuses, announce
from weftwork.controller.vm_host import VmHost
from weftwork.controller.vms import VmBoard
from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.drivers.microvm.settings import GuestSettings
from weftwork.images.oci import Platform
from weftwork.planner.plan import make_plan
from weftwork.reconciler.reconciler import Pace
from weftwork.seams.bus import Bus
from weftwork.seams.clock import Clock
from weftwork.seams.guest_images import GuestImage
from weftwork.seams.images import Told
from weftwork.seams.vms import NoVms, Vms

if TYPE_CHECKING:
    from weftwork.images.cache import Images

log = logging.getLogger(__name__)

AUDIT_S = 30.0
RESERVED_MIB = 512
"""Of memory, for the machine itself."""
MIB = 1 << 20


@dataclass(slots=True)
class CachedImages:
    """The images of this machine: fetched for VMs, and found by those that start them."""

    folder: Path
    _images: "Images | None" = None

    async def fetch(self, name: str, told: Told) -> str:
        def tell(what: str, done: int, whole: int) -> None:
            told(
                f"{what} {done / MIB:.0f} of {whole / MIB:.0f} MiB"
                if what == "fetched"
                else f"{what} {done} of {whole}"
            )

        image = await self._cache().pull(name, Platform.of_this_machine(), tell)
        return image.manifest

    def find(self, manifest: str) -> GuestImage:
        cache = self._cache()
        image = next((one for one in cache.list() if one.manifest == manifest), None)
        if image is None:
            raise Failure("IMAGE_NOT_HERE", f"this machine does not have the image {manifest} any more")
        config = cache.config(image)
        return GuestImage(
            cache.disk(image), config.entrypoint, config.command, config.env, config.working_dir, config.user
        )

    def _cache(self) -> "Images":
        """Made when it is needed: a server without VMs has no folder of images."""
        if self._images is None:
            from weftwork.images.cache import Images

            self._images = Images(self.folder)
        return self._images


@dataclass(frozen=True, slots=True)
class OpenedVms:
    """`board` is what the API tells of VMs; `publisher` and `worker` are the leader's; `loops` run all the time."""

    board: Vms
    host: VmHost | None = None
    loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()


def on_bus(settings: Settings, deployment: str) -> OnBus | None:
    return OnBus(deployment, bus_name(settings)) if settings.bus_url else None


def this_machine() -> Offer:
    """What of it VMs may take: all of its memory but what the machine itself needs."""
    words = Path("/proc/meminfo").read_text().split()
    memory_mib = int(words[words.index("MemTotal:") + 1]) // 1024
    architecture = Platform.of_this_machine().architecture
    return Offer("", architecture, os.cpu_count() or 1, max(0, memory_mib - RESERVED_MIB))


def bus_name(settings: Settings) -> str:
    """What this machine is called on the bus."""
    return settings.bus_name or socket.gethostname()


@asynccontextmanager
async def open_vms(
    settings: Settings, network: Network, clock: Clock, fence: Fence, *, with_agent: bool
) -> AsyncIterator[OpenedVms]:
    """Guests go on when this ends, and so does what they are told over the bus when it is back."""
    async with AsyncExitStack() as stack:
        board: Vms = NoVms()
        host = None
        if with_agent:
            images = CachedImages(Path(settings.vms_images_folder))
            driver = MicrovmDriver(guest_settings(settings), images)
            stack.push_async_callback(driver.close)
            vm_board = VmBoard(network.view, driver, clock)
            agent = LocalAgent(socket.gethostname(), FencedDriver(driver, fence), vm_board.take, Pace(audit_s=AUDIT_S))
            profile = partial(
                GuestProfile, mtu_bytes=network.settings.mtu_bytes, device_netns=network.settings.device_netns
            )
            folder = guest_settings(settings).folder
            has_guests = partial(_holds_any, folder)
            host = VmHost(network, vm_board, agent, images, profile, host_key, has_guests)
            board = vm_board
        if not settings.bus_url:
            yield OpenedVms(board, host)
            return
        from weftwork.bus.rabbit import RabbitBus

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
        yield OpenedVms(board, host, loops)


async def _announce(bus: Bus, name: str) -> None:
    """As soon as the broker is there."""
    while True:
        try:
            return await announce(bus, name, "UP")
        except Failure as failure:
            log.warning("%s", failure)
            await asyncio.sleep(1.0)


def _holds_any(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


async def remove_guests(settings: Settings) -> int:
    """All of this machine, with their disks; how many there were. Raises Failure when one stays."""
    of = guest_settings(settings)
    if not _holds_any(of.folder):
        return 0
    driver = MicrovmDriver(of, CachedImages(Path(settings.vms_images_folder)))
    try:
        there = await driver.observe()
        applied = await driver.apply(make_plan(desired=frozenset(), observed=there))
        if why := next(iter(applied.failures.values()), None):
            raise why
    finally:
        await driver.close()
    return len(there)


def guest_settings(settings: Settings) -> GuestSettings:
    folder = Path(settings.vms_folder or Path(settings.storage_path).absolute().parent / "guests")
    return GuestSettings(
        folder=folder,
        boot_folder=Path(settings.vms_boot_folder),
        init=Path(settings.vms_init),
        accelerator=settings.vms_accelerator,
    )


def host_key(seed: bytes) -> str:
    """The public key to a seed, as OpenSSH writes it."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
