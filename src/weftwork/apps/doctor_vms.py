"""For `weft doctor`: which machine monitor runs VMs here, and why. It changes nothing: what it boots is in a folder of
its own that goes again."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.microvm import boot_files, probe, qemu
from weftwork.drivers.microvm.cgroups import Cgroups


def vm_lines(boot_folder: Path, init: Path) -> Iterator[str]:
    yield f"VMs: {_monitor(boot_folder, init)}"
    held = Cgroups()
    yield f"VMs: limits {held.why_not or f'by control groups, version {held.version}'}"


def _monitor(boot_folder: Path, init: Path) -> str:
    program = shutil.which(qemu.PROGRAM)
    if program is None:
        return f"none can run, {qemu.PROGRAM} is not installed (Debian package qemu-system-x86)"
    try:
        with tempfile.TemporaryDirectory(prefix="weft-doctor-") as made:
            root, release = boot_files.newest(boot_folder)
            boot = boot_files.prepare(Path(made), init, root, release)
            chosen = asyncio.run(probe.choose("auto", boot, Path(made) / "accelerator"))
    except Failure as failure:
        return f"none can run yet, {failure}"
    how = "KVM" if chosen.accelerator.kvm else "emulation"
    return f"{_version(program)} with {how}: {chosen.why}; kernel {release}"


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    return " ".join(said.split()[:1] + said.split()[3:4]) or program
