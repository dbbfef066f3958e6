"""A Unix socket that asks the kernel who comes (SO_PEERCRED), and passes on whoever may.

gRPC does not tell whom it talks to by a Unix socket, so it listens where only we come, and we stand before it.
"""

import asyncio
import logging
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from weftwork.api.listening import make_room

log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")
PIECE_BYTES = 64 << 10
AT_ONCE_MAX = 128


class PeerGate:
    """Everybody may knock: the socket's mode is 0666, and the kernel's word is what counts."""

    def __init__(self, path: Path, inner: Path, users: frozenset[int]) -> None:
        self._path = path
        self._inner = inner
        self._users = users | {0, os.geteuid()}
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Failure ADDRESS_UNAVAILABLE."""
        if self._users - {0, os.geteuid()}:
            self._path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        await asyncio.to_thread(make_room, self._path)
        self._server = await asyncio.start_unix_server(self._came, str(self._path))
        await asyncio.to_thread(self._path.chmod, 0o666)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for one in list(self._passing):
                one.cancel()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            if self._may_pass(writer):
                await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._passing.discard(task)
            writer.close()

    def _may_pass(self, writer: asyncio.StreamWriter) -> bool:
        its: socket.socket = writer.get_extra_info("socket")
        pid, uid, _ = _CREDENTIALS.unpack(its.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in self._users:
            log.warning("user %d (process %d) may not ask for networks here", uid, pid)
            return False
        if len(self._passing) > AT_ONCE_MAX:
            log.warning("more than %d ask at once: user %d (process %d) is sent away", AT_ONCE_MAX, uid, pid)
            return False
        log.info("user %d (process %d) asks for networks of this host", uid, pid)
        return True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._inner))
        try:
            there = asyncio.create_task(_copy(reader, inner_writer))
            back = asyncio.create_task(_copy(inner_reader, writer))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
        finally:
            inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            writer.write(data)
            await writer.drain()
