"""What every guest of a host starts from: the kernel, and an initial RAM disk of its modules and our init.

Beside the guests' folders: `boot/<release>/vmlinux`, and RAM disks named by what they are made of.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.microvm import cpio
from weftwork.drivers.microvm.kernel import Kernel, installed, unpacked

PACKAGE = "linux-image-cloud-amd64"
_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "newroot", "modules")


@dataclass(frozen=True, slots=True)
class BootFiles:
    """`initrd` ends where a guest's configuration begins: archives may follow each other."""

    release: str
    kernel: Path
    initrd: Path

    def with_config(self, name: str, config: bytes, target: Path) -> None:
        """A guest's own RAM disk, readable by whoever owns `target`'s folder alone."""
        with self.initrd.open("rb") as shared, _private(target) as own:
            shutil.copyfileobj(shared, own, 1 << 20)
            own.write(cpio.archive([cpio.file(name, config, 0o600)]))


@contextlib.contextmanager
def _private(target: Path) -> Iterator:  # type: ignore[type-arg]  # of a binary file, which has no short name
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file


def make_initrd(kernel: Kernel, init: Path) -> bytes:
    try:
        program = init.read_bytes()
    except OSError as error:
        raise Failure("INIT_MISSING", f"{init}: {error.strerror}; `make guest` builds it") from None
    modules = dict.fromkeys((*kernel.modules, *kernel.vsock))
    return cpio.archive(
        [
            *(cpio.folder(name) for name in _FOLDERS),
            cpio.character_device("dev/console", 5, 1),
            *(cpio.file(f"modules/{path.name}", path.read_bytes()) for path in modules),
            cpio.file("modules/order", _lines(kernel.modules)),
            cpio.file("modules/order.vsock", _lines(kernel.vsock)),
            cpio.file("init", program, 0o755),
        ]
    )


def _lines(paths: tuple[Path, ...]) -> bytes:
    return "".join(f"{path.name}\n" for path in paths).encode()


def prepare(folder: Path, init: Path, root: Path | None = None, release: str = "") -> BootFiles:
    """Make what is not there yet. Without a `root`, of the newest kernel that was fetched or is installed.

    Raises Failure KERNEL_MISSING, KERNEL_UNUSABLE, INIT_MISSING.
    """
    root, release = (root, release) if root else newest(folder)
    place = folder / release
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    kernel = unpacked(root, release, place / "vmlinux")
    made = make_initrd(kernel, init)
    initrd = place / f"initrd-{hashlib.sha256(made).hexdigest()[:16]}"
    if not initrd.exists():
        partial = initrd.with_suffix(".partial")
        partial.write_bytes(made)
        partial.chmod(0o644)
        partial.rename(initrd)
    return BootFiles(release, kernel.elf, initrd)


def newest(folder: Path) -> tuple[Path, str]:
    """Where the newest kernel lies unpacked, and its release. Raises Failure KERNEL_MISSING."""
    fetched = sorted(folder.glob("package-*/ready"), key=lambda path: path.stat().st_mtime)
    if fetched:
        return fetched[-1].parent, fetched[-1].parent.name.removeprefix("package-")
    if there := installed():
        return Path("/"), there[-1]
    raise Failure("KERNEL_MISSING", f"no kernel for VMs is here: install {PACKAGE}")


def fetch(folder: Path) -> str:
    """Get Debian's kernel package by apt and unpack it here; its release. Nothing is installed."""
    release = _current_release()
    target = folder / f"package-{release}"
    if (target / "ready").exists():
        return release
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", f"linux-image-{release}"], Path(made))
        (archive,) = Path(made).glob("*.deb")
        _run(["dpkg-deb", "-x", str(archive), f"{made}/root"], Path(made))
        _run(["depmod", "-b", f"{made}/root", release], Path(made))
        (Path(made) / "root" / "ready").touch()
        shutil.rmtree(target, ignore_errors=True)
        (Path(made) / "root").rename(target)
    return release


def _current_release() -> str:
    for word in _run(["apt-cache", "depends", PACKAGE], Path("/")).split():
        if word.startswith("linux-image-") and word != PACKAGE:
            return word.removeprefix("linux-image-")
    raise Failure("KERNEL_MISSING", f"apt knows no {PACKAGE}: run apt-get update")


def _run(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        said = (result.stderr or result.stdout).strip().splitlines()
        raise Failure("KERNEL_MISSING", f"{command[0]}: {said[-1] if said else 'failed'}")
    return result.stdout
