"""One start of a guest: its disk, its RAM disk, the devices of its ports, its machine monitor. All, or nothing."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import time

from weftwork.base.errors import Failure
from weftwork.drivers.microvm import process, qemu, sockets
from weftwork.drivers.microvm.equipment import Equipment, Ready
from weftwork.drivers.microvm.home import Home
from weftwork.drivers.microvm.init_config import PATH, init_config
from weftwork.drivers.microvm.probe import kvm_groups
from weftwork.drivers.microvm.process import Process
from weftwork.drivers.microvm.taps import open_tap
from weftwork.program.guest import Guest
from weftwork.seams.guest_images import GuestImage

_ENTROPY_BYTES = 64


async def start(guest: Guest, home: Home, image: GuestImage, equipment: Equipment) -> Process:
    """Raises Failure."""
    ready = await equipment.ready()
    try:
        return await asyncio.to_thread(_start, guest, home, image, ready)
    except OSError as error:
        raise Failure("GUEST_START_FAILED", f"{error.filename or qemu.PROGRAM}: {error.strerror}") from None


def _start(guest: Guest, home: Home, image: GuestImage, ready: Ready) -> Process:
    home.make_disk(image, guest.disk_mib)
    config = init_config(guest, image, entropy=secrets.token_bytes(_ENTROPY_BYTES), time_ns=time.time_ns())
    ready.boot.with_config(PATH, config, home.initrd)
    os.chown(home.initrd, home.uid, home.uid)
    _put_kernel(home, ready)
    accelerator = ready.chosen.accelerator
    with contextlib.ExitStack() as opened:
        base = opened.enter_context(home.base.open("rb"))
        # Whoever asks sees the image's disk in use as long as the machine monitor has it open.
        fcntl.flock(base, fcntl.LOCK_SH)
        taps = []
        for nic in guest.nics:
            taps.append(open_tap(guest.scope, nic.device))
            opened.callback(os.close, taps[-1])
        listeners = {name: opened.enter_context(sockets.listen(home.socket(name))) for name in qemu.LISTENERS}
        machine = qemu.Machine(
            name=process.name_of(home.folder, guest.run),
            vcpus=guest.vcpus,
            memory_mib=guest.memory_mib,
            kernel=home.kernel.relative_to(home.folder),
            initrd=home.initrd.relative_to(home.folder),
            overlay=home.disk.relative_to(home.folder),
            base=base.fileno(),
            cards=tuple(qemu.Card(nic.mac, tap, nic.mtu_bytes) for nic, tap in zip(guest.nics, taps, strict=True)),
            listeners={name: listener.fileno() for name, listener in listeners.items()},
        )
        command = process.confined(home.uid, kvm_groups() if accelerator.kvm else ()) + qemu.command(
            machine, accelerator
        )
        passed = (base.fileno(), *taps, *machine.listeners.values())
        return process.spawn(command, home.folder, guest.run, passed)


def _put_kernel(home: Home, ready: Ready) -> None:
    """In its folder, because its machine monitor may look nowhere else; the same file, and the same memory."""
    home.kernel.unlink(missing_ok=True)
    try:
        os.link(ready.boot.kernel, home.kernel)
    except OSError:
        shutil.copy(ready.boot.kernel, home.kernel)
