"""Entries that a routing daemon wrote where we would have written ours: they stand, and we remember what we would have.

The kernel keeps no place for that, so after a restart we are asked again, find what stands, and write nothing.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

from weftwork.base.addresses import Mac
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import links_decode
from weftwork.drivers.linux.netlink import Socket, attributes
from weftwork.program.linux import Neighbour, RemoteEntry
from weftwork.program.resource import Key

Yielding = RemoteEntry | Neighbour
Entry = TypeVar("Entry", RemoteEntry, Neighbour)
_NOWHERE = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class Yielded:
    """Of one scope. `is_on`: a daemon writes here, and what it wrote beyond what was asked for is not ours to judge."""

    is_on: bool = False
    asked: dict[Key, Yielding] = field(default_factory=dict)

    def took(self, one: Yielding) -> None:
        if one.yields:
            self.asked[one.key] = one
        else:
            self.asked.pop(one.key, None)


@dataclass(frozen=True, slots=True)
class Learned:
    """What daemons wrote in a namespace, by the index of the device."""

    macs: frozenset[tuple[int, Mac]] = frozenset()
    addresses: frozenset[tuple[int, bytes]] = frozenset()

    def has(self, one: Yielding, index: int) -> bool:
        match one:
            case RemoteEntry():
                return (index, one.mac) in self.macs
            case Neighbour():
                return (index, one.address.packed) in self.addresses


def learned(route: Socket) -> Learned:
    return Learned(
        learned_macs(route.dump(wire.GET_NEIGHBOUR, bytes([7]) + bytes(11))),
        frozenset(_addresses(route.dump(wire.GET_NEIGHBOUR, bytes(12)))),
    )


def learned_macs(bodies: Iterable[bytes]) -> frozenset[tuple[int, Mac]]:
    """By the bridge's lines: a VTEP's own keeps our flags when a daemon writes over it."""
    found: set[tuple[int, Mac]] = set()
    for body in bodies:
        index, _, flags = struct.unpack_from("=iHB", body, 4)
        if flags & wire.NTF_EXT_LEARNED and not flags & wire.NTF_SELF:
            found.add((index, links_decode.mac_of(attributes(body, 12).get(wire.NDA_LLADDR, b""))))
    return frozenset(found)


def _addresses(bodies: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for body in bodies:
        index, _, flags = struct.unpack_from("=iHB", body, 4)
        entry = attributes(body, 12)
        theirs = entry.get(wire.NDA_PROTOCOL, b"\0")[0] != wire.PROTOCOL
        if flags & wire.NTF_EXT_LEARNED and theirs and wire.NDA_DST in entry:
            yield index, entry[wire.NDA_DST]


def remote_entries(
    bodies: Sequence[bytes], scope: str, vteps: Mapping[int, str], yielded: Yielded, tunnels: Collection[int] = ()
) -> Iterator[RemoteEntry]:
    """As `links_decode` reads them; what a daemon wrote shows as what was asked for in its place."""
    macs = {(vteps[index], mac) for index, mac in learned_macs(bodies) if index in vteps}
    for one in links_decode.remote_entries(bodies, scope, vteps, tunnels):
        if (one.interface, one.mac) in macs or one.mac == links_decode.NOBODY:
            yield from _in_place_of(replace(one, host=_NOWHERE), yielded)
        else:
            yield replace(one, yields=one.key in yielded.asked)


def neighbours(bodies: Sequence[bytes], scope: str, names: Mapping[int, str], yielded: Yielded) -> Iterator[Neighbour]:
    yield from links_decode.neighbours(bodies, scope, names)
    for index, packed in _addresses(bodies):
        if index in names:
            there = Neighbour(scope, names[index], ip_address(packed), links_decode.NOBODY)
            yield from _in_place_of(there, yielded)


def _in_place_of(there: Entry, yielded: Yielded) -> Iterator[Entry]:
    """What was asked for; of what was not, nothing while a daemon writes here, and later that it is there, for no
    reason."""
    asked = yielded.asked.get(there.key)
    if not yielded.is_on:
        yield there
    elif isinstance(asked, type(there)):
        yield asked
