"""A guest's kernel: Debian's for clouds, out of its package, which need not be installed here.

Unpacked to an ELF image: QEMU starts that by its PVH note and Firecracker takes nothing else, and neither waits for
the guest to decompress it.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from weftwork.base.errors import Failure

MODULES = ("virtio_mmio", "virtio_blk", "virtio_console", "virtio_net", "virtio_rng")
"""What a guest needs before its root file system is there: the kernel has no driver of ours built in."""
VSOCK_MODULES = ("vmw_vsock_virtio_transport",)
"""Firecracker's way into a guest."""

_UNPACK = ("lz4", "-dc")


@dataclass(frozen=True, slots=True)
class Kernel:
    """Files that the init loads, each after those it depends on; `vsock` only where that is the way in."""

    release: str
    elf: Path
    modules: tuple[Path, ...]
    vsock: tuple[Path, ...]


def elf_of(image: bytes) -> bytes:
    """The ELF image inside a bzImage with an LZ4 payload (Linux' boot protocol). Raises Failure KERNEL_UNUSABLE."""
    if image.startswith(b"\x7fELF"):
        return image
    start = ((image[0x1F1] or 4) + 1) * 512 if len(image) > 0x24C else 0
    offset, length = (int.from_bytes(image[at : at + 4], "little") for at in (0x248, 0x24C))
    payload = image[start + offset : start + offset + length]
    if not payload.startswith(b"\x02\x21\x4c\x18"):
        raise Failure("KERNEL_UNUSABLE", "the kernel is neither an ELF image nor compressed with LZ4")
    try:
        # It complains of the 4 bytes of size at the end, after it has written everything.
        elf = subprocess.run(_UNPACK, input=payload, capture_output=True).stdout
    except FileNotFoundError:
        raise Failure("KERNEL_UNUSABLE", "lz4 is not installed, which unpacks the kernel") from None
    if not elf.startswith(b"\x7fELF"):
        raise Failure("KERNEL_UNUSABLE", "what is packed in the kernel is no ELF image")
    return elf


def unpacked(root: Path, release: str, elf: Path) -> Kernel:
    """From the folder that holds a package's /boot and /lib. `elf` is written if it is not there yet."""
    if not elf.exists():
        partial = elf.with_suffix(".partial")
        partial.write_bytes(elf_of((root / "boot" / f"vmlinuz-{release}").read_bytes()))
        partial.chmod(0o644)  # machine monitors read it, whatever the umask of ours
        partial.rename(elf)
    return Kernel(release, elf, _modules(root, release, MODULES), _modules(root, release, VSOCK_MODULES))


def _modules(root: Path, release: str, names: tuple[str, ...]) -> tuple[Path, ...]:
    query = ["modprobe", "-d", str(root), "-S", release, "--show-depends", "-a", *names]
    result = subprocess.run(query, capture_output=True, text=True)
    if result.returncode:
        raise Failure("KERNEL_UNUSABLE", f"modprobe: {result.stderr.strip()}")
    return tuple(Path(path) for path in dict.fromkeys(re.findall(r"^insmod (\S+)", result.stdout, re.MULTILINE)))


def installed() -> tuple[str, ...]:
    """Releases of Debian's kernels for clouds that are installed here, the newest last."""
    there = (path.name.removeprefix("vmlinuz-") for path in Path("/boot").glob("vmlinuz-*-cloud-*"))
    return tuple(sorted(there, key=lambda release: [int(part) for part in re.findall(r"\d+", release)]))
