"""Creates ports and nothing else: `python -m bench.creating ADDRESS SECONDS IN_FLIGHT` prints how many, and seconds.

It speaks just enough HTTP/2 (RFC 9113) for one unary gRPC call, over and over: the frames of a call are made once and
only their stream's number changes. A client library costs as much as the server, and here the two share a machine.
"""

import socket
import struct
import sys
import time
from collections.abc import Iterator

from weftwork.rpc.generated.overlay_network.v1.network_pb2 import CreatePortRequest

PROJECT = ("bench", "creates")
SUBNET = "large"
_CALL = "/overlay_network.v1.NetworkService/CreatePort"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_HEADER_TABLE_SIZE, _INITIAL_WINDOW_SIZE = 1, 4
_WINDOW_MAX = (1 << 31) - 1
_WINDOW_FIRST = (1 << 16) - 1
_STREAM_MASK = (1 << 31) - 1
_HEAD = struct.Struct("!HBBBI")
"""Of a frame: length (16 bits and 8), type, flags, stream."""


class Calls:
    """One connection on which the same call is made again and again."""

    def __init__(self, connection: socket.socket, authority: str, path: str, message: bytes) -> None:
        self._connection = connection
        self._received = bytearray()
        self._stream = -1
        self._answered: set[int] = set()
        self._headers = _headers(authority, path)
        self._body = b"\0" + struct.pack("!I", len(message)) + message
        windows = struct.pack("!HIHI", _HEADER_TABLE_SIZE, 4096, _INITIAL_WINDOW_SIZE, _WINDOW_MAX)
        room = struct.pack("!I", _WINDOW_MAX - _WINDOW_FIRST)
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, windows) + _frame(_WINDOW, 0, 0, room))

    def begin(self, number: int) -> None:
        """So many calls more are in flight."""
        frames = []
        for _ in range(number):
            self._stream += 2
            frames.append(_frame(_HEADERS, _END_HEADERS, self._stream, self._headers))
            frames.append(_frame(_DATA, _END_STREAM, self._stream, self._body))
        self._connection.sendall(b"".join(frames))

    def finished(self) -> int:
        """Wait for news; how many calls ended. Every one with a message: an error comes without, and ends the bench."""
        received = self._connection.recv(1 << 18)
        assert received, "the server closed the connection"
        self._received += received
        return sum(self._take(*frame) for frame in self._frames())

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        begin, end = 0, len(self._received)
        while end - begin >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(self._received, begin)
            behind = begin + _HEAD.size + (high << 8 | low)
            if behind > end:
                break
            yield kind, flags, stream & _STREAM_MASK, bytes(self._received[begin + _HEAD.size : behind])
            begin = behind
        del self._received[:begin]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        """Whether a call ended with it."""
        if kind == _DATA:
            self._answered.add(stream)
        elif kind == _HEADERS and flags & _END_STREAM:
            assert stream in self._answered, f"a call failed: {payload!r}"
            self._answered.discard(stream)
            return True
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._connection.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        assert kind not in (_RESET, _GO_AWAY), f"the server gave up: {payload!r}"
        return False


def create_number(address: str, message: bytes, number: int, in_flight: int) -> None:
    """So many of the same call, none of which may fail."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address.removeprefix("unix:"))
        calls = Calls(connection, "localhost", _CALL, message)
        waiting = begun = min(in_flight, number)
        calls.begin(begun)
        while waiting:
            ended = calls.finished()
            more = min(ended, number - begun)
            if more:
                calls.begin(more)
            begun, waiting = begun + more, waiting - ended + more


def create_ports(address: str, seconds: float, in_flight: int) -> int:
    """How many were created; the last calls in flight count, and their time does."""
    message = CreatePortRequest(org_id=PROJECT[0], project_id=PROJECT[1], subnet_id=SUBNET).SerializeToString()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address.removeprefix("unix:"))
        calls = Calls(connection, "localhost", _CALL, message)
        deadline = time.perf_counter() + seconds
        created, waiting = 0, in_flight
        calls.begin(in_flight)
        while waiting:
            ended = calls.finished()
            created += ended
            waiting -= ended
            if ended and time.perf_counter() < deadline:
                calls.begin(ended)
                waiting += ended
    return created


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def _headers(authority: str, path: str) -> bytes:
    """A header block (RFC 7541) of literals that are never indexed, so that it is the same for every call."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "weftwork-bench",
    }
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    assert len(text) < 127, "longer texts have a longer length"
    return bytes([len(text)]) + text.encode()


if __name__ == "__main__":
    began = time.perf_counter()
    print(create_ports(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])), time.perf_counter() - began)
