"""Resources as bytes: what programs are in on their way to agents, and on their disks.

Each is a list: the name of its class, and its fields in order. A law: what was written is read as the same value.
"""

import types
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from weftwork.program.dhcp import DhcpResource
from weftwork.program.frr import FrrResource
from weftwork.program.gate import GateResource
from weftwork.program.guest import GuestResource
from weftwork.program.linux import LinuxResource
from weftwork.program.resource import Program, Resource

_UNIONS = (LinuxResource, DhcpResource, FrrResource, GateResource)
KINDS: dict[str, type] = {
    kind.__name__: kind for kind in (*(kind for union in _UNIONS for kind in get_args(union)), GuestResource)
}
_ADDRESSES = {IPv4Address, IPv6Address}
_NETWORKS = {IPv4Network, IPv6Network}

MODULUS = 1 << 64
"""Of digests."""

_Read = Callable[[Any], Any]


def encode(resources: Iterable[Resource]) -> bytes:
    return msgspec.msgpack.encode([_row(one) for one in resources])


def decode(data: bytes) -> Program:
    """ValueError for what no such program is, as of a newer server."""
    try:
        return frozenset(_resource(row) for row in msgspec.msgpack.decode(data))
    except (msgspec.DecodeError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a program that is understood here: {error}") from None


def digest_of(resources: Iterable[Resource]) -> int:
    """A sum, so that it follows changes: of the same program, the same on both sides."""
    return sum(map(_digest, resources)) % MODULUS


def _digest(resource: Resource) -> int:
    return int.from_bytes(blake2b(msgspec.msgpack.encode(_row(resource)), digest_size=8).digest(), "big")


def _row(resource: Resource) -> list[Any]:
    return [type(resource).__name__, *_values(resource)]


def _values(value: Any) -> list[Any]:
    kind: type = type(value)
    return [_plain(getattr(value, name)) for name, _ in _fields(kind)]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str() | bytes():
            return value
        case Enum():
            return value.value
        case tuple():
            return [_plain(one) for one in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _values(value)
        case _:
            return str(value)


def _resource(row: list[Any]) -> Resource:
    made: Resource = _value(KINDS[row[0]], row[1:])
    return made


def _value(kind: type, values: list[Any]) -> Any:
    wanted = _fields(kind)
    if len(wanted) < len(values):
        raise ValueError(f"{kind.__name__} has {len(values)} fields, not {len(wanted)}")
    # Written before a field was there that has a default, it is what it was.
    return kind(*(read(value) for (_, read), value in zip(wanted, values, strict=False)))


@cache
def _fields(kind: type) -> tuple[tuple[str, _Read], ...]:
    hints = get_type_hints(kind)
    return tuple((one.name, _reader(hints[one.name])) for one in fields(kind))


def _reader(hint: Any) -> _Read:
    """By the annotation of a field."""
    if get_origin(hint) in (Union, types.UnionType):
        options = set(get_args(hint))
        inner = _reader_of_any(options - {type(None)})
        return (lambda value: None if value is None else inner(value)) if type(None) in options else inner
    if get_origin(hint) is tuple:
        each = _reader(get_args(hint)[0])
        return lambda value: tuple(map(each, value))
    return _reader_of_any({hint})


def _reader_of_any(options: set[Any]) -> _Read:
    if options <= _ADDRESSES:
        return ip_address
    if options <= _NETWORKS:
        return ip_network
    (only,) = options
    if only is IPv4Interface:
        return IPv4Interface
    if isinstance(only, type) and is_dataclass(only):
        return partial(_value, only)
    if isinstance(only, type) and issubclass(only, Enum):
        return only
    return lambda value: value
