"""Whether KVM boots a guest here. /dev/kvm alone says nothing: inside another machine it is often there and fails."""

import asyncio
import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.microvm import qemu
from weftwork.drivers.microvm.boot_files import BootFiles
from weftwork.drivers.microvm.process import FIRST_UID, confined
from weftwork.drivers.microvm.tsc import tsc_khz

KVM = Path("/dev/kvm")
_PROBE_S = 15.0
_PROBED = b"weft-init: probed"
_MEMORY_MIB = 128


@dataclass(frozen=True, slots=True)
class Chosen:
    accelerator: qemu.Accelerator
    why: str


async def choose(wanted: str, boot: BootFiles, remembered: Path) -> Chosen:
    """Once for each start of this machine, kernel and QEMU. Raises Failure VMM_MISSING, KVM_UNUSABLE."""
    program = shutil.which(qemu.PROGRAM)
    if program is None:
        raise Failure("VMM_MISSING", f"{qemu.PROGRAM} is not installed")
    if wanted == "tcg":
        return _emulated("as was asked for")
    about = _about(program, boot)
    why_not = _recall(remembered, about)
    if why_not is None:
        why_not = await _why_kvm_fails(boot)
        _remember(remembered, about, why_not)
    if not why_not:
        return Chosen(qemu.Accelerator(kvm=True), "KVM has booted a guest here")
    if wanted == "kvm":
        raise Failure("KVM_UNUSABLE", why_not)
    return _emulated(why_not)


def _emulated(why: str) -> Chosen:
    return Chosen(qemu.Accelerator(kvm=False, tsc_khz=tsc_khz()), why)


def _about(program: str, boot: BootFiles) -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot_id} {boot.initrd.name} {Path(program).stat().st_mtime_ns}"


def _recall(path: Path, about: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(path.read_text())
        if said["about"] == about:
            return str(said["why_not"])
    return None


def _remember(path: Path, about: str, why_not: str) -> None:
    path.write_text(json.dumps({"about": about, "why_not": why_not}))


def kvm_groups() -> tuple[int, ...]:
    """Whose members may use KVM."""
    with contextlib.suppress(OSError):
        return (KVM.stat().st_gid,)
    return ()


async def _why_kvm_fails(boot: BootFiles) -> str:
    """Empty when a guest came as far as its init."""
    if not os.access(KVM, os.R_OK | os.W_OK):
        return "there is no /dev/kvm"
    accelerator = qemu.Accelerator(kvm=True)
    append = qemu.kernel_arguments(accelerator, ["weft.probe"])
    with boot.kernel.open("rb") as kernel, boot.initrd.open("rb") as initrd:
        files = [Path(f"/proc/self/fd/{file.fileno()}") for file in (kernel, initrd)]
        command = qemu.bare(accelerator, 1, _MEMORY_MIB, files[0], files[1], append)
        process = await asyncio.create_subprocess_exec(
            *confined(FIRST_UID - 1, kvm_groups()),
            *command,
            "-serial",
            "stdio",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(kernel.fileno(), initrd.fileno()),
        )
        try:
            async with asyncio.timeout(_PROBE_S):
                printed, said = await process.communicate()
        except TimeoutError:
            return f"/dev/kvm is there, and a guest did not boot with it within {_PROBE_S:.0f} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if _PROBED in printed:
        return ""
    lines = said.decode(errors="replace").strip().splitlines()
    return f"/dev/kvm is there, and a guest does not boot with it: {lines[0] if lines else 'it ended at once'}"
