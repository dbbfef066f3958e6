"""An agent that starts one guest, says so, and waits to be killed: FOLDER BOOT_FOLDER DISK."""

import asyncio
import sys
from pathlib import Path

from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.program.plan import Create
from weftwork.seams.guest_images import GuestImage
from weftwork.testing.microvms import TestImages, guest, settings_in


async def main(folder: Path, boot_folder: Path, disk: Path) -> None:
    driver = MicrovmDriver(settings_in(folder, boot_folder), TestImages(GuestImage(disk)))
    applied = await driver.apply((Create(guest("web")),))
    assert not applied.failures
    print("started", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(Path, sys.argv[1:])))
