"""Captures by a packet socket on one device. Its buffer has a fixed size: a slow reader misses packets."""

import asyncio
import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager, suppress

from weftwork.base import codes
from weftwork.drivers.capture.program import compiled
from weftwork.drivers.linux import namespaces
from weftwork.seams.capture import Captured, Capturing, Wanted

AT_ONCE_MAX = 8
"""Captures on this host."""
PACKETS_AT_ONCE = 200
BYTES_AT_ONCE = 512 * 1024
"""Of one event: messages have a bound."""
PAUSE_S = 0.05
"""Between events, so that a trickle of packets is not an event each."""
BUFFER_BYTES = 4 << 20
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 26, 33, 35
_TIME = struct.Struct("qq")
_COUNTERS = struct.Struct("II")


class PacketCapturer:
    """Implements `seams.capture.Capturer`."""

    def __init__(self) -> None:
        self._going_on = 0

    async def capture(self, wanted: Wanted) -> AsyncGenerator[Capturing, None]:
        with self._counted():
            program = await compiled(wanted.expression, wanted.snap_length)
            with closing(await asyncio.to_thread(_listen, wanted, program)) as listening:
                yield Capturing()
                async for some in _until_the_end(listening, wanted):
                    yield some

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._going_on >= AT_ONCE_MAX:
            raise codes.TOO_MANY_CAPTURES.refusal(f"{AT_ONCE_MAX} captures are going on at this host")
        self._going_on += 1
        try:
            yield
        finally:
            self._going_on -= 1


async def _until_the_end(listening: socket.socket, wanted: Wanted) -> AsyncGenerator[Capturing, None]:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + wanted.seconds
    packets_left, bytes_left = wanted.packets, wanted.data_bytes
    ended = ""
    while not ended:
        try:
            async with asyncio.timeout_at(ends_at):
                await _readable(listening)
                await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            ended = "seconds"
        some, is_gone = _read(listening, wanted.snap_length, packets_left, bytes_left)
        packets_left -= len(some)
        bytes_left -= sum(len(one.data) for one in some)
        if is_gone:
            ended = "device"
        elif packets_left <= 0:
            ended = "packets"
        elif bytes_left <= 0:
            ended = "bytes"
        missed = _missed(listening)
        if some or missed or ended:
            yield Capturing(some, missed, ended)


async def _readable(listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(listening, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(listening)


def _read(
    listening: socket.socket, snap_length: int, packets_max: int, bytes_max: int
) -> tuple[tuple[Captured, ...], bool]:
    """What there is, as much as fits into one event; and whether the device is gone."""
    some: list[Captured] = []
    size = 0
    buffer = bytearray(snap_length)
    while len(some) < min(PACKETS_AT_ONCE, packets_max) and size < min(BYTES_AT_ONCE, bytes_max):
        try:
            length, besides, _, _ = listening.recvmsg_into([buffer], 64, socket.MSG_TRUNC)
        except BlockingIOError:
            break
        except OSError as error:
            return tuple(some), error.errno in (errno.ENETDOWN, errno.ENODEV, errno.ENXIO)
        data = bytes(buffer[: min(length, snap_length)])
        size += len(data)
        some.append(Captured(_time_in(besides), length, data))
    return tuple(some), False


def _time_in(besides: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in besides:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIME.unpack(data[: _TIME.size])
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()


def _missed(listening: socket.socket) -> int:
    with suppress(OSError):
        _, drops = _COUNTERS.unpack(listening.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _COUNTERS.size))
        return int(drops)
    return 0


def _listen(wanted: Wanted, program: bytes) -> socket.socket:
    """Protocol 0 hears nothing, so nothing gets in before the filter is in place. Refusal CAPTURE_UNAVAILABLE."""
    try:
        with namespaces.opened(wanted.scope) as namespace, namespaces.inside(namespace):
            listening = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            try:
                listening.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
                listening.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                held = ctypes.create_string_buffer(program)
                count = len(program) // 8
                attached = struct.pack("HL", count, ctypes.addressof(held))
                listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
                listening.bind((wanted.device, _ETH_P_ALL))
            except BaseException:
                listening.close()
                raise
            return listening
    except OSError as error:
        what = os.strerror(error.errno or 0)
        raise codes.CAPTURE_UNAVAILABLE.refusal(f"the port has no device here to listen at: {what}") from None
