"""The packet that a probe is: as a guest would send it, with a number in it where one may choose freely."""

import socket
import struct
from ipaddress import IPv4Address

from weftwork.drivers.linux import namespaces
from weftwork.seams.tracer import Injection

ICMP, TCP, UDP = 1, 6, 17
SOURCE_PORTS = range(61000, 65000)


def frame(injection: Injection, number: int, *, source_port: int, ttl: int = 64) -> bytes:
    """The number is TCP's sequence, ICMP's identifier and sequence, the beginning of a datagram."""
    source, destination = injection.source, injection.destination
    inner = _transport(injection, number, source_port)
    outer = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(inner), 0, 0x4000, ttl, injection.protocol, 0)
    head = _summed(outer + source.packed + destination.packed, 10)
    return _octets(injection.next_mac) + _octets(injection.source_mac) + b"\x08\0" + head + inner


def send(injection: Injection, packet: bytes) -> None:
    """From the guest's end of its device. Raises OSError."""
    at = injection.attachment
    with (
        namespaces.opened(at.netns) as guest,
        namespaces.inside(guest),
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw,
    ):
        raw.bind((at.interface, 0))
        raw.send(packet)


def _transport(injection: Injection, number: int, source_port: int) -> bytes:
    match injection.protocol:
        case 6:
            head = struct.pack(">HHIIBBHHH", source_port, injection.destination_port, number, 0, 5 << 4, 2, 1024, 0, 0)
            return _summed(head, 16, _pseudo(injection.source, injection.destination, TCP, len(head)))
        case 17:
            head = struct.pack(">HHHHI", source_port, injection.destination_port, 12, 0, number)
            return _summed(head, 6, _pseudo(injection.source, injection.destination, UDP, len(head)))
        case _:
            return _summed(struct.pack(">BBHI", 8, 0, 0, number), 2)


def _pseudo(source: IPv4Address, destination: IPv4Address, protocol: int, length: int) -> bytes:
    return source.packed + destination.packed + struct.pack(">BBH", 0, protocol, length)


def _summed(head: bytes, at: int, pseudo: bytes = b"") -> bytes:
    """With its checksum in place (RFC 1071)."""
    total = sum(struct.unpack(f">{len(pseudo + head) // 2}H", pseudo + head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:at] + struct.pack(">H", ~total & 0xFFFF) + head[at + 2 :]


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
