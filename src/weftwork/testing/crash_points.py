"""A page of memory that two processes share: one counts the steps it takes, the other says at which it dies.

The page is a file, so it outlives the process that dies.
"""

import mmap
import os
import signal
import struct
import threading
from pathlib import Path

_PAGE = struct.Struct("=qq")
_DISARMED = -1


class CrashPoints:
    """Both sides make one over the same folder; the first makes the files. Steps count only while armed."""

    def __init__(self, folder: Path, *, but_not_in_thread: str = "") -> None:
        self._ignored_thread = but_not_in_thread
        self._names = folder / "crash-points"
        page = os.open(folder / "crash-page", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        is_new = os.fstat(page).st_size == 0
        os.ftruncate(page, _PAGE.size)
        self._page = mmap.mmap(page, _PAGE.size)
        os.close(page)
        if is_new:
            self.disarm()
        self._log = os.open(self._names, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()

    # The side that watches

    def arm(self, fatal: int) -> None:
        """Count from one; the process dies before it takes step `fatal`. 0: only count."""
        self._names.write_bytes(b"")
        _PAGE.pack_into(self._page, 0, fatal, 0)

    def disarm(self) -> None:
        _PAGE.pack_into(self._page, 0, _DISARMED, 0)

    @property
    def names(self) -> list[str]:
        """Steps passed since armed; the last is the one that was fatal, if any was."""
        return self._names.read_text().splitlines()

    def close(self) -> None:
        self._page.close()
        os.close(self._log)

    # The side that dies

    def is_fatal(self, name: str) -> bool:
        """Count a step that is about to be taken; whether it is the one to die before."""
        if threading.current_thread().name == self._ignored_thread:
            return False
        with self._lock:
            fatal, passed = _PAGE.unpack_from(self._page)
            if fatal == _DISARMED:
                return False
            _PAGE.pack_into(self._page, 0, fatal, passed + 1)
            os.write(self._log, f"{name}\n".encode())
            return bool(passed + 1 == fatal)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def before(self, name: str) -> None:
        """Count a step, and die if it is the one."""
        if self.is_fatal(name):
            self.die()
