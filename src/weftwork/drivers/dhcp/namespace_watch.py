"""Tells when a network namespace loses its name, so that nothing of ours keeps it alive."""

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

_IN_DELETE, _IN_MOVED_FROM, _IN_DELETE_SELF = 0x200, 0x40, 0x400
_EVENTS_BYTES = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceWatch:
    """Owns an inotify descriptor on the folder of namespaces. Says only that something went, not what."""

    def __init__(self, folder: Path, on_deletion: Callable[[], None]) -> None:
        """Raises OSError when there is no such folder or the limit on inotify instances is reached."""
        self._descriptor = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._on_deletion = on_deletion
        try:
            mask = _IN_DELETE | _IN_MOVED_FROM | _IN_DELETE_SELF
            _check(_libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask))
        except OSError:
            os.close(self._descriptor)
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        os.read(self._descriptor, _EVENTS_BYTES)
        self._on_deletion()


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
