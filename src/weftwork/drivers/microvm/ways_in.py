"""Ways into a guest beside its network: streams through its machine monitor to the SSH server of its init.

Each is one at a time and used again, so both sides greet: what is on the way for whoever was there before is passed
over. `guest/link.go` is the other side.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from weftwork.base import codes
from weftwork.drivers.microvm import qemu, sockets
from weftwork.drivers.microvm.home import Home

_GREETING_S = 10.0
_AGAIN_S = 1.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class WaysIn:
    """Of one life of a guest. `events_are_heard` returns when `note_closed` was called for all that happened before."""

    def __init__(self, home: Home, events_are_heard: Callable[[], Awaitable[None]]) -> None:
        self._home = home
        self._events_are_heard = events_are_heard
        self._open: dict[int, Stream] = {}
        self._greeted: set[int] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._next = 0

    async def connect(self) -> Stream:
        """Raises Refusal GUEST_BUSY, GUEST_NOT_RUNNING."""
        way = self._free()
        try:
            stream = await sockets.connect(self._home.socket(f"ssh.{way}"))
        except OSError:
            raise codes.GUEST_NOT_RUNNING.refusal("its machine monitor does not listen") from None
        self._open[way] = stream
        task = asyncio.create_task(self._free_when_closed(way, stream[1]))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        try:
            await _greet(*stream)
            # What was closed until now was closed by whoever had this way before.
            await self._events_are_heard()
            self._greeted.add(way)
        except BaseException:
            stream[1].close()
            raise
        return stream

    def _free(self) -> int:
        """The one that was left longest ago."""
        for step in range(qemu.WAYS):
            way = (self._next + step) % qemu.WAYS
            if way not in self._open:
                self._next = way + 1
                return way
        raise codes.GUEST_BUSY.refusal(f"{qemu.WAYS} sessions are open")

    async def _free_when_closed(self, way: int, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        del self._open[way]
        self._greeted.discard(way)

    def note_closed(self, port: str) -> None:
        """The guest closed its side, which the stream does not show by itself."""
        name, _, way = port.partition(".")
        if name == "ssh" and way.isdecimal() and int(way) in self._greeted:
            self._open[int(way)][0].feed_eof()

    def close(self) -> None:
        for _, writer in list(self._open.values()):
            writer.close()


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    nonces = set()
    try:
        async with asyncio.timeout(_GREETING_S):
            while True:
                nonces.add(nonce := secrets.token_hex(16))
                writer.write(f"hello {nonce}\n".encode())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN_S):
                        await _answer(reader, nonces)
                        return
    except (TimeoutError, OSError):
        raise codes.GUEST_NOT_RUNNING.refusal("its SSH server does not answer") from None


async def _answer(reader: asyncio.StreamReader, nonces: set[str]) -> None:
    while line := await reader.readline():
        nonce = line.decode(errors="replace").strip().rpartition("ready ")[2]
        if nonce in nonces:
            return
    raise ConnectionResetError("the machine monitor closed the stream")
