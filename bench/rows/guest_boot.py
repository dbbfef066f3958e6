"""A guest asked of its host's driver until its init's first line, beside a bare script: the same kernel, RAM disk, disk
and command line, without a jail, limits, a record or anything that watches. And what a disk takes to make."""

import asyncio
import itertools
import os
import subprocess
import time
from pathlib import Path

from bench.figure import Figure, interleaved
from bench.run import Run
from weftwork.drivers.microvm import qcow2, qemu
from weftwork.drivers.microvm.boot_files import BootFiles, prepare
from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.drivers.microvm.home import Home
from weftwork.drivers.microvm.init_config import PATH, init_config
from weftwork.drivers.microvm.process import FIRST_UID
from weftwork.drivers.microvm.tsc import tsc_khz
from weftwork.program.guest import Guest
from weftwork.program.plan import Create, Delete
from weftwork.seams.guest_images import GuestImage
from weftwork.testing.microvms import TestImages, busybox_disk, guest, settings_in

FIRST_LINE = b"weft-init: first line"
DISK_GIB = 100


def measure(run: Run) -> list[Figure]:
    folder = run.fresh_folder("guests")
    image = GuestImage(asyncio.run(busybox_disk(folder)), command=("/bin/sleep", "1000"))
    settings = settings_in(folder / "ours", folder / "boot")
    boot = prepare(settings.boot_folder, settings.init, settings.kernel_root, settings.kernel_release)
    khz = tsc_khz()
    names = map("guest-{}".format, itertools.count())
    driver = MicrovmDriver(settings, TestImages(image))
    with asyncio.Runner() as runner:
        runner.run(_first_line(driver, guest(next(names))))  # what is got ready once is ready now
        ours, peer = interleaved(
            run.rounds,
            lambda: runner.run(_first_line(driver, guest(next(names)))),
            lambda: _bare(folder, next(names), boot, image, khz),
        )
        runner.run(driver.close())
    clones = tuple(_clone(folder, size) for size in (1, run.size(DISK_GIB, 2)) for _ in range(run.rounds))
    return [
        Figure("guest asked for → init's first line", "s", ours, peer, "a bare script", must=1.3, aim=1.1),
        Figure(f"disk of 1 and of {DISK_GIB} GiB", "ms", clones, must=50),
    ]


async def _first_line(driver: MicrovmDriver, wanted: Guest) -> float:
    began = time.monotonic()
    applied = await driver.apply((Create(wanted),))
    assert not applied.failures, applied.failures
    printed = b""
    async with asyncio.timeout(60):
        async for chunk in driver.console(wanted.id, follow=True):
            printed += chunk
            if FIRST_LINE in printed:
                break
    took = time.monotonic() - began
    await driver.apply((Delete(wanted),))
    return took


def _bare(folder: Path, name: str, boot: BootFiles, image: GuestImage, khz: int) -> float:
    initrd, overlay = folder / f"{name}.initrd", folder / f"{name}.qcow2"
    began = time.monotonic()
    boot.with_config(PATH, init_config(guest(name), image, entropy=b"r" * 64, time_ns=time.time_ns()), initrd)
    overlay.write_bytes(qcow2.empty(1 << 30))
    words = qemu.bare(
        accelerator := qemu.Accelerator(kvm=False, tsc_khz=khz),
        1,
        128,
        boot.kernel,
        initrd,
        qemu.kernel_arguments(accelerator),
    )
    words += ["-blockdev", f"driver=file,node-name=b,filename={image.disk},read-only=on"]
    words += ["-blockdev", f"driver=file,node-name=f,filename={overlay}"]
    words += ["-blockdev", "driver=qcow2,node-name=own,file=f,backing=b", "-device", "virtio-blk-device,drive=own"]
    with subprocess.Popen([*words, "-serial", "stdio"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while FIRST_LINE not in (line := process.stdout.readline()):
            assert line, "it ended before"
        took = time.monotonic() - began
        process.kill()
    return took


def _clone(folder: Path, gib: int) -> float:
    """In milliseconds, of an image's disk of that size."""
    base = folder / f"base-{gib}"
    with base.open("wb") as file:
        file.truncate(gib << 30)
    home = Home(folder / f"home-{gib}-{time.monotonic_ns()}")
    home.make(FIRST_UID)
    began = time.monotonic()
    home.make_disk(GuestImage(base), gib << 10)
    took = time.monotonic() - began
    assert home.base.stat().st_size == gib << 30
    os.sync()
    return took * 1000
