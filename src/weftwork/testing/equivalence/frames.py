"""Frames with a number in them, made and read. Checksums are right: connection tracking looks at them."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from weftwork.testing.guests import checksum
from weftwork.verifier.packet import ICMP, TCP, UDP, Seen

SYN, RST, ACK, FIN = 2, 4, 16, 1
ECHO_REPLY, UNREACHABLE, ECHO = 0, 3, 8
ETHERTYPE_IPV4, ETHERTYPE_ARP = 0x0800, 0x0806

_MAGIC = b"weft"
_NUMBER = struct.Struct("!4sI")
_FIRST_FRAGMENT_BYTES = 1280
"""As much as any path carries whole (RFC 8200); Open vSwitch in user space takes nothing below 1200 for a fragment."""
_MORE_FRAGMENTS = 0x2000
_QUOTED_BYTES = 40


FRAGMENTED_BYTES = 1344
"""What is sent in two fragments."""


def payload(number: int, length: int = 64) -> bytes:
    """The number over and over, so that a fragment begins with it too."""
    return (_NUMBER.pack(_MAGIC, number) * (length // _NUMBER.size))[:length]


def number_in(data: bytes) -> int | None:
    if len(data) < _NUMBER.size or data[:4] != _MAGIC:
        return None
    return int(_NUMBER.unpack_from(data)[1])


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet as it came. `fragment` is where it lies in its datagram: (offset, more follow)."""

    interface: str
    source_mac: bytes
    number: int
    protocol: int
    seen: Seen
    fragment: tuple[int, bool]
    quoted: Seen | None = None
    """Of an ICMP error: the packet that it speaks of."""


def ethernet(source: bytes, destination: bytes, ethertype: int, data: bytes) -> bytes:
    return (destination + source + struct.pack("!H", ethertype) + data).ljust(60, b"\0")


def ipv4(seen: Seen, protocol: int, data: bytes, *, identifier: int = 0, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), identifier & 0xFFFF, fragment, 64, protocol, 0)
    head += seen.source.packed + seen.destination.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def fragments(seen: Seen, protocol: int, data: bytes, identifier: int) -> tuple[bytes, bytes]:
    first, last = data[:_FIRST_FRAGMENT_BYTES], data[_FIRST_FRAGMENT_BYTES:]
    return (
        ipv4(seen, protocol, first, identifier=identifier, fragment=_MORE_FRAGMENTS),
        ipv4(seen, protocol, last, identifier=identifier, fragment=_FIRST_FRAGMENT_BYTES // 8),
    )


def udp(seen: Seen, data: bytes) -> bytes:
    head = struct.pack("!HHHH", seen.source_port, seen.destination_port, 8 + len(data), 0)
    total = checksum(_pseudo(seen, UDP, 8 + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + data


def tcp(seen: Seen, flags: int, sequence: int, acknowledged: int, data: bytes) -> bytes:
    head = struct.pack(
        "!HHIIBBHHH", seen.source_port, seen.destination_port, sequence, acknowledged, 0x50, flags, 64240, 0, 0
    )
    total = checksum(_pseudo(seen, TCP, 20 + len(data)) + head + data)
    return head[:16] + struct.pack("!H", total) + head[18:] + data


def icmp(kind: int, code: int, rest: bytes, data: bytes) -> bytes:
    """`rest` are the four bytes behind the checksum."""
    message = struct.pack("!BBH", kind, code, 0) + rest + data
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def echo(kind: int, identifier: int, data: bytes) -> bytes:
    return icmp(kind, 0, struct.pack("!HH", identifier, 1), data)


def port_unreachable(number: int, packet: bytes) -> bytes:
    """About a packet, of which it quotes the heads, as hosts do (RFC 1122); the number stands in the unused field.

    Open vSwitch 3.1 in user space writes beyond a quote that ends within TCP's head, and dies of it.
    """
    return icmp(UNREACHABLE, 3, struct.pack("!I", number), packet[:_QUOTED_BYTES])


def arp(operation: int, sender_mac: bytes, sender: IPv4Address, target_mac: bytes, target: IPv4Address) -> bytes:
    head = struct.pack("!HHBBH", 1, ETHERTYPE_IPV4, 6, 4, operation)
    return head + sender_mac + sender.packed + target_mac + target.packed


@dataclass(frozen=True, slots=True)
class ArpMessage:
    interface: str
    operation: int
    sender_mac: bytes
    sender: IPv4Address
    target: IPv4Address


def read_arp(interface: str, frame: bytes) -> ArpMessage | None:
    if len(frame) < 42 or frame[12:14] != b"\x08\x06":
        return None
    operation = int.from_bytes(frame[20:22], "big")
    return ArpMessage(interface, operation, frame[22:28], IPv4Address(frame[28:32]), IPv4Address(frame[38:42]))


def read(interface: str, frame: bytes) -> Arrival | None:
    """None for what carries no number of ours."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34:
        return None
    packet = frame[14:]
    total = int.from_bytes(packet[2:4], "big")
    place = int.from_bytes(packet[6:8], "big")
    fragment = ((place & 0x1FFF) * 8, bool(place & _MORE_FRAGMENTS))
    protocol, data = packet[9], packet[20:total]
    source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    ports, number, quoted = (0, 0), number_in(data), None
    if fragment[0] == 0:
        match protocol:
            case 6 if len(data) >= 20:
                ports, number = _ports(data), number_in(data[20:])
            case 17 if len(data) >= 8:
                ports, number = _ports(data), number_in(data[8:])
            case 1 if len(data) >= 8:
                ports, number, quoted = _read_icmp(data)
    if number is None:
        return None
    seen = Seen(source, ports[0], destination, ports[1])
    return Arrival(interface, frame[6:12], number, protocol, seen, fragment, quoted)


def _read_icmp(data: bytes) -> tuple[tuple[int, int], int | None, Seen | None]:
    identifier = int.from_bytes(data[4:6], "big")
    match data[0]:
        case 8:
            return (identifier, 0), number_in(data[8:]), None
        case 0:
            return (0, identifier), number_in(data[8:]), None
        case 3 if len(data) >= 36:
            return (0, 0), int.from_bytes(data[4:8], "big"), _quoted(data[8:])
    return (0, 0), None, None


def _quoted(packet: bytes) -> Seen:
    ports = _ports(packet[20:]) if packet[9] in (TCP, UDP) else (0, 0)
    if packet[9] == ICMP:
        ports = (int.from_bytes(packet[24:26], "big"), 0)
    return Seen(IPv4Address(packet[12:16]), ports[0], IPv4Address(packet[16:20]), ports[1])


def _ports(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")


def _pseudo(seen: Seen, protocol: int, length: int) -> bytes:
    return seen.source.packed + seen.destination.packed + struct.pack("!BBH", 0, protocol, length)
