"""Round trips by ICMP echo, in the reader's own time: the socket is asked again and again, never slept upon."""

import socket
import struct
import time

from weftwork.testing.guests import checksum
from weftwork.testing.inside import open_socket

TIMEOUT_S = 1.0
_ECHO, _REPLY = 8, 0


class NoEchoError(AssertionError):
    """No answer within the time."""


class Echo:
    """Pings from one namespace to one address."""

    def __init__(self, netns: str, to: str) -> None:
        self._socket = open_socket(netns, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.setblocking(False)
        self._socket.connect((to, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def send(self, identifier: int) -> tuple[int, int]:
        """Send one; what its answer is known by."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._socket.send(_packet(identifier, self._sequence))
        return identifier, self._sequence

    def answers(self) -> list[tuple[int, int]]:
        """Those that have arrived, without waiting."""
        found: list[tuple[int, int]] = []
        while (one := self._receive()) is not None:
            found.append(one)
        return found

    def round_trip_us(self, identifier: int) -> float:
        """Microseconds. An identifier that was not used before is a new flow. Raises NoEchoError."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet, wanted = _packet(identifier, self._sequence), (identifier, self._sequence)
        began = time.perf_counter_ns()
        self._socket.send(packet)
        while True:
            answered = self._receive() == wanted
            took_ns = time.perf_counter_ns() - began
            if answered:
                return took_ns / 1000
            if took_ns > TIMEOUT_S * 1e9:
                raise NoEchoError(f"no answer within {TIMEOUT_S} s")

    def _receive(self) -> tuple[int, int] | None:
        try:
            data = self._socket.recv(2048)
        except BlockingIOError:
            return None
        kind, _, _, identifier, sequence = struct.unpack_from("!BBHHH", data, (data[0] & 15) * 4)
        return (identifier, sequence) if kind == _REPLY else None


def _packet(identifier: int, sequence: int) -> bytes:
    body = struct.pack("!BBHHH", _ECHO, 0, 0, identifier, sequence) + bytes(32)
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]
