"""Resources as bytes: what programs are in on their way to agents, and on their disks.

Each is a list: the name of its class, and its fields in order. A law: what was written is read as the same value.
"""

import types
from collections.abc import Callable, Iterable
from dataclasses import fields
from enum import Enum
from functools import cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from weftwork.program.dhcp import DhcpResource
from weftwork.program.linux import LinuxResource
from weftwork.program.resource import Program, Resource

KINDS: dict[str, type] = {kind.__name__: kind for kind in (*get_args(LinuxResource), *get_args(DhcpResource))}
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
    kind = type(resource)
    return [kind.__name__, *(_plain(getattr(resource, name)) for name, _ in _fields(kind))]


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Enum():
            return value.value
        case tuple():
            return [_plain(one) for one in value]
        case _:
            return str(value)


def _resource(row: list[Any]) -> Resource:
    kind = KINDS[row[0]]
    wanted = _fields(kind)
    if len(wanted) != len(row) - 1:
        raise ValueError(f"{row[0]} has {len(row) - 1} fields, not {len(wanted)}")
    made: Resource = kind(*(read(value) for (_, read), value in zip(wanted, row[1:], strict=True)))
    return made


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
    if isinstance(only, type) and issubclass(only, Enum):
        return only
    return lambda value: value
