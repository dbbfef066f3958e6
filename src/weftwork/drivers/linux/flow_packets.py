"""What NFNETLINK_LOG tells of one packet, as a value (include/uapi/linux/netfilter/nfnetlink_log.h)."""

import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from weftwork.drivers.linux.netlink import as_text, attributes
from weftwork.program.flow_log import ALLOWED, GUARD, way_in
from weftwork.program.linux import GUARD_REASONS
from weftwork.seams.flows import Seen, Side

PACKET_MESSAGE = 4 << 8
"""NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET."""
_HEADER, _MARK, _TIMESTAMP, _IN, _PHYSICAL_IN, _PAYLOAD, _PREFIX = 1, 2, 3, 4, 6, 9, 10
_ETHERTYPES = {0x0806: "arp", 0x86DD: "ipv6", 0x8100: "802.1q", 0x88A8: "802.1ad"}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}
_WITH_PORTS = (6, 17)

NameOf = Callable[[int], str]
"""A device by its index; empty when it is gone."""


class _Read(NamedTuple):
    protocol: str
    source: str = ""
    destination: str = ""
    source_port: int = 0
    destination_port: int = 0
    length: int = 0


def seen_in(data: bytes, scope: str, name_of: NameOf, now_ns: int) -> Iterator[Seen]:
    """Of one read from the socket. What is not ours, or malformed, is left out."""
    start = 0
    while start + 16 <= len(data):
        length, type_ = struct.unpack_from("=IH", data, start)
        if length < 16:
            return
        if type_ == PACKET_MESSAGE:
            seen = _seen(attributes(data[start + 20 : start + length]), scope, name_of, now_ns)
            if seen is not None:
                yield seen
        start += (length + 3) & ~3


def _seen(found: dict[int, bytes], scope: str, name_of: NameOf, now_ns: int) -> Seen | None:
    way = way_in(as_text(found.get(_PREFIX, b"")))
    if way is None:
        return None
    reason = way.reason
    if reason == GUARD:
        mark = _number(found.get(_MARK, b""))
        if not 1 <= mark <= len(GUARD_REASONS):
            return None
        reason = GUARD_REASONS[mark - 1]
    index = _number(found.get(_PHYSICAL_IN, b"")) or _number(found.get(_IN, b""))
    ether_type = int.from_bytes(found.get(_HEADER, b"\0\0")[:2], "big")
    read = _read(ether_type, found.get(_PAYLOAD, b""))
    at_ns = _time(found.get(_TIMESTAMP, b"")) or now_ns
    side: Side = "both" if reason == ALLOWED else way.side
    return Seen(scope, at_ns, side, reason, way.policy, name_of(index) if index else "", *read)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _time(value: bytes) -> int:
    if len(value) < 16:
        return 0
    seconds, microseconds = struct.unpack_from(">QQ", value)
    return int(seconds * 1_000_000_000 + microseconds * 1000)


def _read(ether_type: int, packet: bytes) -> _Read:
    if ether_type == 0x0800 and len(packet) >= 20 and packet[0] >> 4 == 4:
        return _ipv4(packet)
    if ether_type == 0x0806 and len(packet) >= 28:
        return _Read("arp", str(IPv4Address(packet[14:18])), str(IPv4Address(packet[24:28])), length=28)
    return _Read(_ETHERTYPES.get(ether_type, f"{ether_type:#06x}"))


def _ipv4(packet: bytes) -> _Read:
    length, fragment, protocol = struct.unpack_from(">HxxHxB", packet, 2)
    ends = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
    behind = (packet[0] & 0xF) * 4
    ports = (0, 0)
    if protocol in _WITH_PORTS and not fragment & 0x1FFF and len(packet) >= behind + 4:
        ports = struct.unpack_from(">HH", packet, behind)
    return _Read(_PROTOCOLS.get(protocol, str(protocol)), *ends, *ports, length)
