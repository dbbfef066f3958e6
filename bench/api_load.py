"""Makes one call over and over and nothing else: `python -m bench.api_load KIND ADDRESS SECONDS CONNECTIONS JSON`.

KIND is `http` or `grpc`. Prints how many calls a second were answered, the p50 and p99 of their times in
milliseconds, and how many they were. Both speak just enough of their protocol: a client library costs as much as the
server, and here the two share a machine.
"""

import json
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.creating import Calls


class Load(NamedTuple):
    per_s: float
    p50_ms: float
    p99_ms: float
    calls: float


def load_of(times_s: Sequence[float], took_s: float) -> Load:
    cuts = statistics.quantiles(times_s, n=100)
    return Load(len(times_s) / took_s, cuts[49] * 1e3, cuts[98] * 1e3, len(times_s))


class _Connection:
    """One request in flight at a time."""

    def __init__(self, address: str, request: bytes) -> None:
        self.socket = _connected(address)
        self._request = request
        self._received = b""
        self._began = 0.0

    def begin(self) -> None:
        self._began = time.perf_counter()
        self.socket.sendall(self._request)

    def finished(self) -> float | None:
        """How long the call took, once the whole answer is here."""
        received = self.socket.recv(1 << 18)
        assert received, "the server closed the connection"
        self._received += received
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return None
        assert head.startswith(b"HTTP/1.1 20"), self._received[:300]
        self._received = b""
        return time.perf_counter() - self._began


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


def _connected(address: str) -> socket.socket:
    if address.startswith("unix:"):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.connect(address.removeprefix("unix:"))
        return one
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def over_http(address: str, seconds: float, connections: int, asked: dict[str, str]) -> Load:
    body = asked.get("body", "").encode()
    head = f"{asked['verb']} {asked['path']} HTTP/1.1\r\nhost: localhost\r\n"
    kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    request = f"{head}{kind}\r\n".encode() + body
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            one = _Connection(address, request)
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.begin()
        began = time.perf_counter()
        waiting = connections
        while waiting:
            for key, _ in selector.select():
                took = key.data.finished()
                if took is None:
                    continue
                times.append(took)
                if time.perf_counter() - began < seconds:
                    key.data.begin()
                else:
                    waiting -= 1
        return load_of(times, time.perf_counter() - began)


class _Timed(Calls):
    """Knows how long each call took."""

    def __init__(self, connection: socket.socket, path: str, message: bytes) -> None:
        self.times: list[float] = []
        self._begun: dict[int, float] = {}
        super().__init__(connection, "localhost", path, message)

    def begin(self, number: int) -> None:
        now = time.perf_counter()
        self._begun.update({self._stream + 2 * at: now for at in range(1, number + 1)})
        super().begin(number)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        ended = super()._take(kind, flags, stream, payload)
        if ended:
            self.times.append(time.perf_counter() - self._begun.pop(stream))
        return ended


def over_grpc(address: str, seconds: float, in_flight: int, asked: dict[str, str]) -> Load:
    with _connected(address) as connection:
        calls = _Timed(connection, asked["path"], bytes.fromhex(asked["message"]))
        began = time.perf_counter()
        waiting = in_flight
        calls.begin(in_flight)
        while waiting:
            ended = calls.finished()
            waiting -= ended
            if ended and time.perf_counter() - began < seconds:
                calls.begin(ended)
                waiting += ended
        return load_of(calls.times, time.perf_counter() - began)


if __name__ == "__main__":
    kind, where, seconds, connections, what = sys.argv[1:]
    drive = {"http": over_http, "grpc": over_grpc}[kind]
    print(*drive(where, float(seconds), int(connections), json.loads(what)))
