"""Beats on the wire: UDP in the underlay, and frames of their own on the external network, so that the seats hear each
other by two ways. Signed, and never taken twice: whoever else is on these networks can neither make nor repeat one."""

import hmac
import socket
import struct
from collections.abc import Iterator
from hashlib import blake2b
from ipaddress import IPv4Address

from weftwork.drivers.gate.election import Beat

PORT = 8479
"""Of UDP, in the underlay."""
ETHER_TYPE = 0x88B5
"""For local experiments (IEEE 802)."""
_GROUP = bytes.fromhex("0357454654 01".replace(" ", ""))
_BODY = struct.Struct("!4s4sBBQ")
_MAGIC = b"weft"
_ACTIVE, _LEAVES = 1, 2
_SIGNATURE_BYTES = 16


class Signed:
    """Writes and reads beats of one gate. Numbers only grow, also over a restart, for they begin with the time."""

    def __init__(self, gate: IPv4Address, secret: str, first: int) -> None:
        self._gate = gate.packed
        self._secret = secret.encode()
        self._number = first
        self._last: dict[int, int] = {}

    def write(self, beat: Beat) -> bytes:
        self._number += 1
        flags = _ACTIVE * beat.is_active | _LEAVES * beat.leaves
        body = _BODY.pack(_MAGIC, self._gate, beat.seat, flags, self._number)
        return body + self._signature(body)

    def read(self, data: bytes) -> Beat | None:
        body, signature = data[: _BODY.size], data[_BODY.size : _BODY.size + _SIGNATURE_BYTES]
        if len(signature) < _SIGNATURE_BYTES or not hmac.compare_digest(signature, self._signature(body)):
            return None
        magic, gate, seat, flags, number = _BODY.unpack(body)
        if magic != _MAGIC or gate != self._gate or number <= self._last.get(seat, 0):
            return None
        self._last[seat] = number
        return Beat(seat, bool(flags & _ACTIVE), bool(flags & _LEAVES))

    def _signature(self, body: bytes) -> bytes:
        return blake2b(body, digest_size=_SIGNATURE_BYTES, key=self._secret[:64]).digest()


def underlay_socket(own: IPv4Address) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 6)
    made.bind((str(own), PORT))
    return made


def external_socket(bridge: str) -> socket.socket:
    """In the namespace of the calling thread. Raises OSError."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    made = socket.socket(socket.AF_PACKET, kind, socket.htons(ETHER_TYPE))
    made.bind((bridge, ETHER_TYPE))
    return made


def frame(source: bytes, payload: bytes) -> bytes:
    return _GROUP + source + struct.pack("!H", ETHER_TYPE) + payload


def payloads(receiving: socket.socket) -> Iterator[bytes]:
    """What has come so far."""
    skipped = 14 if receiving.family == socket.AF_PACKET else 0
    while True:
        try:
            data = receiving.recv(256)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            return
        yield data[skipped:]


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """RFC 5227, 3."""
    packed = address.packed
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + packed + bytes(6) + packed
    return b"\xff" * 6 + mac + struct.pack("!H", 0x0806) + request
