"""Sockets in a guest's folder, whatever the length of its path: the kernel takes 107 bytes (unix(7))."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_BACKLOG = 4
_LINE_BYTES = 1 << 20


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Made before its owner is there: who connects now is heard first. Root's alone."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short(path) as name:
            made.bind(name)
        path.chmod(0o600)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


async def connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises OSError."""
    with _short(path) as name:
        return await asyncio.open_unix_connection(name, limit=_LINE_BYTES)
