"""Keys and values of sets and maps: nftables' types as bytes in the kernel and as the words of nft(8).

Numbers of types are libnftables' own; they stand in every set that it made, so they never change.
"""

import ipaddress
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

_TYPE_BITS = 6
VERDICT = 0xFFFFFF00


@dataclass(frozen=True, slots=True)
class DataType:
    """One type: how many bytes, how they read, and whether an interval of them may be a prefix."""

    name: str
    size: int
    read: Callable[[bytes], str]
    prefixes: bool = False


def _hexadecimal(data: bytes) -> str:
    return f"0x{int.from_bytes(data, sys.byteorder):08x}"


def _class(data: bytes) -> str:
    number = int.from_bytes(data, sys.byteorder)
    return f"{number >> 16:04x}:{number & 0xFFFF:04x}"


def _decimal(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


def _host_decimal(data: bytes) -> str:
    return str(int.from_bytes(data, sys.byteorder))


def _ether(data: bytes) -> str:
    return ":".join(f"{octet:02x}" for octet in data[:6])


def _quoted(data: bytes) -> str:
    return f'"{data.split(bytes(1), 1)[0].decode(errors="replace")}"'


def _ipv6(data: bytes) -> str:
    return str(ipaddress.IPv6Address(data[:16]))


_BY_NUMBER = {
    2: DataType("nf_proto", 1, _decimal),
    7: DataType("ipv4_addr", 4, lambda data: socket.inet_ntoa(data[:4]), prefixes=True),
    8: DataType("ipv6_addr", 16, _ipv6, prefixes=True),
    9: DataType("ether_addr", 6, _ether),
    12: DataType("inet_proto", 1, _decimal),
    13: DataType("inet_service", 2, _decimal),
    19: DataType("mark", 4, _hexadecimal),
    20: DataType("iface_index", 4, _host_decimal),
    23: DataType("classid", 4, _class),
    41: DataType("ifname", 16, _quoted),
}


def types_of(number: int) -> tuple[DataType, ...] | None:
    """The types joined in a set's key or data; None when one of them is not among ours."""
    numbers: list[int] = []
    while number:
        numbers.append(number & ((1 << _TYPE_BITS) - 1))
        number >>= _TYPE_BITS
    found = [_BY_NUMBER.get(one) for one in reversed(numbers)]
    return None if None in found or not found else tuple(one for one in found if one)


def type_words(types: tuple[DataType, ...]) -> str:
    return " . ".join(one.name for one in types)


def _fields(types: tuple[DataType, ...], data: bytes) -> list[bytes]:
    """Joined values stand at multiples of four bytes."""
    fields: list[bytes] = []
    start = 0
    for one in types:
        fields.append(data[start : start + one.size])
        start += (one.size + 3) & ~3
    return fields


def read_value(types: tuple[DataType, ...], data: bytes) -> str:
    return " . ".join(one.read(field) for one, field in zip(types, _fields(types, data), strict=True))


def read_range(types: tuple[DataType, ...], low: bytes, high: bytes) -> str:
    """Canonical: a single value, else a prefix where it is one, else `low-high`; field by field."""
    return " . ".join(
        _read_field(one, first, last)
        for one, first, last in zip(types, _fields(types, low), _fields(types, high), strict=True)
    )


def _read_field(one: DataType, low: bytes, high: bytes) -> str:
    if low == high:
        return one.read(low)
    if one.prefixes:
        bits = one.size * 8
        first, last = int.from_bytes(low, "big"), int.from_bytes(high, "big")
        size = last - first + 1
        if size & (size - 1) == 0 and first % size == 0:
            return f"{one.read(low)}/{bits - size.bit_length() + 1}"
    return f"{one.read(low)}-{one.read(high)}"
