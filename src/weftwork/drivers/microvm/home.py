"""The folder of one guest: everything of it that outlives the agent, and all that is left to remove when it goes.

    guest     what it is to be, as its program said      life      what became of its last start
    uid       the user of its machine monitor            disk      what it wrote, over base: the image's disk
    console   what it printed                            *.sock    ways to its machine monitor

Root's, but for the files that its machine monitor opens: it may pass through, and neither list nor make any.
"""

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from weftwork.base.errors import Failure
from weftwork.drivers.microvm import qcow2
from weftwork.program.guest import Guest
from weftwork.rpc import programs
from weftwork.seams.guest_images import GuestImage

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Life:
    """A start and what became of it; times are Unix times, 0 for what has not been.

    `over`: it is not to be started again by itself. `asked`: it ended because it was to.
    """

    run: int
    began_at: float
    ready_at: float = 0.0
    ended_at: float = 0.0
    restarts: int = 0
    over: bool = False
    asked: bool = False
    code: str = ""
    why: str = ""
    exit_code: int | None = None


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.disk, self.base = folder / "disk", folder / "base"
        self.initrd, self.kernel = folder / "initrd", folder / "vmlinux"
        self._guest, self._life, self._uid = folder / "guest", folder / "life", folder / "uid"

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def make(self, uid: int) -> None:
        self.folder.mkdir(mode=0o710, exist_ok=True)
        _write(self._uid, str(uid).encode())
        os.chown(self.folder, 0, uid)
        self.folder.chmod(0o710)

    @property
    def uid(self) -> int:
        """0 while it is not made."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._uid.read_text())
        return 0

    def guest(self) -> Guest | None:
        """None: it was never written, or is of another version of ours."""
        with contextlib.suppress(OSError, ValueError):
            for one in programs.decode(self._guest.read_bytes()):
                if isinstance(one, Guest):
                    return one
        return None

    def write_guest(self, guest: Guest) -> None:
        _write(self._guest, programs.encode([guest]))

    def life(self) -> Life | None:
        with contextlib.suppress(OSError, ValueError, msgspec.ValidationError):
            return msgspec.convert(json.loads(self._life.read_bytes()), Life)
        return None

    def write_life(self, life: Life) -> None:
        _write(self._life, json.dumps(asdict(life)).encode())

    def make_disk(self, image: GuestImage, disk_mib: int) -> None:
        """The same time for every size: a name for what is there already, and an empty file of what is different.

        The name keeps the image's disk as it is for as long as the guest's is there, whatever becomes of the image.
        """
        if self.disk.exists() and self.base.exists():
            self._grow(disk_mib)
            return
        self.base.unlink(missing_ok=True)
        try:
            os.link(image.disk, self.base)
        except FileNotFoundError:
            raise Failure("IMAGE_NOT_HERE", "the image's disk was removed just now") from None
        except OSError:
            # Another file system; a copy with holes, once for each guest.
            shutil.copyfile(image.disk, self.base)
            self.base.chmod(0o400)
        size = max(self.base.stat().st_size, disk_mib * _MIB)
        partial = self.folder / "disk.partial"
        partial.write_bytes(qcow2.empty(-(-size // _MIB) * _MIB))
        os.chown(partial, self.uid, self.uid)
        partial.chmod(0o600)
        partial.rename(self.disk)

    def _grow(self, disk_mib: int) -> None:
        with self.disk.open("r+b") as file:
            grown = qcow2.grown(file.read(qcow2.HEADER_BYTES), disk_mib * _MIB)
            if grown:
                file.seek(0)
                file.write(grown)

    def drop_disk(self) -> None:
        for path in (self.disk, self.base):
            path.unlink(missing_ok=True)

    def forget_secrets(self) -> None:
        """The machine monitor has read them; they are in the guest's memory, and its init removes them there."""
        self.initrd.unlink(missing_ok=True)

    def remove(self) -> None:
        """What says that it is there goes last: half removed is still to be removed."""
        for path in self.folder.iterdir():
            if path not in (self._guest, self._uid):
                path.unlink()
        self._guest.unlink(missing_ok=True)
        shutil.rmtree(self.folder)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
