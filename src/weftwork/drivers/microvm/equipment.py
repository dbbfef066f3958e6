"""What all guests of a host share: the kernel, how it is run, and what limits them."""

import asyncio
from dataclasses import dataclass

from weftwork.drivers.microvm import boot_files, probe
from weftwork.drivers.microvm.boot_files import BootFiles
from weftwork.drivers.microvm.cgroups import Cgroups
from weftwork.drivers.microvm.settings import GuestSettings


@dataclass(frozen=True, slots=True)
class Ready:
    boot: BootFiles
    chosen: probe.Chosen


class Equipment:
    """Got ready by the first guest that needs it; a host without guests needs no kernel for them."""

    def __init__(self, settings: GuestSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._ready: Ready | None = None
        self.cgroups = Cgroups()

    async def ready(self) -> Ready:
        """Raises Failure KERNEL_MISSING, KERNEL_UNUSABLE, INIT_MISSING, VMM_MISSING, KVM_UNUSABLE."""
        async with self._turn:
            if self._ready is None:
                of = self._settings
                boot = await asyncio.to_thread(
                    boot_files.prepare, of.boot_folder, of.init, of.kernel_root, of.kernel_release
                )
                chosen = await probe.choose(of.accelerator, boot, of.boot_folder / "accelerator")
                self._ready = Ready(boot, chosen)
            return self._ready
