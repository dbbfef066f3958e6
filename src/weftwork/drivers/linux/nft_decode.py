"""nftables of one namespace, dumped by netlink, as resources: tables named `weftwork` and nothing else.

Not by `nft -j list`: it drops comments of chains and the flag `dynamic`, and differs from version to version.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weftwork.drivers.linux import nft_notes
from weftwork.drivers.linux.netlink import Socket, as_text, attribute, attributes, each_attribute, text
from weftwork.drivers.linux.nft_types import (
    VERDICT,
    DataType,
    read_range,
    read_value,
    type_words,
    types_of,
)
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable

TABLE = "weftwork"
"""Our mark: we read and write the tables of this name only."""

NftResource = NftTable | NftSet | NftChain | NftElement

_SUBSYSTEM = 10 << 8
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENT = (_SUBSYSTEM | n for n in (1, 4, 7, 10, 13))

_FAMILIES = {1: Family.INET, 7: Family.BRIDGE}
_NUMBERS = {family: number for number, family in _FAMILIES.items()}

_CONSTANT, _INTERVAL, _TIMEOUT, _DYNAMIC = 0x2, 0x4, 0x10, 0x20
_FLAGS = ((_CONSTANT, "constant"), (_DYNAMIC, "dynamic"), (_INTERVAL, "interval"), (_TIMEOUT, "timeout"))
_ANONYMOUS = 0x1
_INTERVAL_END = 0x1

_HOOKS = {
    Family.INET: ("prerouting", "input", "forward", "output", "postrouting", "ingress"),
    Family.BRIDGE: ("prerouting", "input", "forward", "output", "postrouting"),
}
_PRIORITIES = {
    Family.INET: {-300: "raw", -150: "mangle", -100: "dstnat", 0: "filter", 50: "security", 100: "srcnat"},
    Family.BRIDGE: {-300: "dstnat", -200: "filter", 100: "out", 300: "srcnat"},
}
_ACCEPT = 1
_VERDICTS = {0: "drop", 1: "accept", -1: "continue", -3: "jump", -4: "goto", -5: "return"}


def observe(netlink: Socket, scope: str) -> set[NftResource]:
    """Everything in our tables, by a NETLINK_NETFILTER socket of that namespace."""
    found: set[NftResource] = set()
    for body in netlink.dump(_GET_TABLE, _body(0)):
        family = _FAMILIES.get(body[0])
        if family and as_text(attributes(body, 4)[1]) == TABLE:
            found.add(NftTable(scope, family))
            found |= _chains(netlink, scope, family)
            found |= _sets(netlink, scope, family)
    return found


def rules_by_handle(netlink: Socket) -> dict[tuple[Family, int], str]:
    """Every rule of our tables as it was written."""
    return {
        (family, int.from_bytes(found[3])): nft_notes.decode(_comment(found.get(7, b""))) or ""
        for family in Family
        for found in _dump(netlink, _GET_RULE, family)
    }


def first_rule(netlink: Socket, family: Family, chain: str) -> int:
    """Its handle; 0 when the chain has no rule."""
    rules = (found for found in _dump(netlink, _GET_RULE, family) if as_text(found[2]) == chain)
    return next((int.from_bytes(found[3]) for found in rules), 0)


def _body(family: int, *inner: bytes) -> bytes:
    return struct.pack("=BBH", family, 0, 0) + b"".join(inner)


def _dump(netlink: Socket, type_: int, family: Family, *inner: bytes) -> Iterator[dict[int, bytes]]:
    """Attributes of each object in our table of the family; older kernels do not filter by table."""
    number = _NUMBERS[family]
    for body in netlink.dump(type_, _body(number, attribute(1, text(TABLE)), *inner)):
        found = attributes(body, 4)
        if body[0] == number and as_text(found.get(1, b"")) == TABLE:
            yield found


def _chains(netlink: Socket, scope: str, family: Family) -> set[NftResource]:
    rules: dict[str, list[str]] = defaultdict(list)
    for found in _dump(netlink, _GET_RULE, family):
        note = nft_notes.decode(_comment(found.get(7, b"")))
        rules[as_text(found[2])].append(note if note is not None else f"# not ours: handle {found[3].hex()}")
    return {
        NftChain(scope, family, name, _hook_words(family, found), tuple(rules[name]))
        for found in _dump(netlink, _GET_CHAIN, family)
        for name in (as_text(found[3]),)
    }


def _hook_words(family: Family, chain: dict[int, bytes]) -> str:
    """As it was written, if the kernel still agrees with it; else as nft would print it."""
    if 4 not in chain:
        return ""
    hook = attributes(chain[4])
    number, priority = struct.unpack(">I", hook[1])[0], struct.unpack(">i", hook[2])[0]
    policy = "accept" if struct.unpack(">I", chain[5])[0] == _ACCEPT else "drop"
    kind, name = as_text(chain[7]), _HOOKS[family][number]
    known = _PRIORITIES[family].get(priority)
    spellings = [
        f"type {kind} hook {name} priority {word}; policy {policy};" for word in (known, priority) if word is not None
    ]
    note = nft_notes.decode(_comment(chain.get(12, b"")))
    if note is not None and " ".join(note.split()) in spellings:
        return note
    return spellings[0]


def _comment(user_data: bytes) -> str:
    """The first of (type, length, value) is the comment; all of ours have no other."""
    if len(user_data) < 2 or user_data[0] != 0:
        return ""
    return as_text(user_data[2 : 2 + user_data[1]])


@dataclass(frozen=True, slots=True)
class _Shape:
    """What one needs to know of a set to read its elements."""

    name: str
    flags: int
    key: tuple[DataType, ...]
    data: tuple[DataType, ...]


def _sets(netlink: Socket, scope: str, family: Family) -> set[NftResource]:
    found: set[NftResource] = set()
    for one in list(_dump(netlink, _GET_SET, family)):
        flags = _be32(one.get(3, bytes(4)))
        if flags & _ANONYMOUS:
            continue
        name, data_number = as_text(one[2]), _be32(one.get(6, bytes(4)))
        key, data = types_of(_be32(one[4])), types_of(data_number) if data_number != VERDICT else ()
        words = tuple(word for bit, word in _FLAGS if flags & bit)
        # nft gives sets that packets fill a size, asked or not.
        size = 0 if flags & _DYNAMIC else _be32(attributes(one.get(9, b"")).get(1, bytes(4)))
        if key is None or (data is None and data_number):
            found.add(NftSet(scope, family, name, "unknown", "", words, size))
            continue
        data_words = "verdict" if data_number == VERDICT else type_words(data or ())
        found.add(NftSet(scope, family, name, type_words(key), data_words, words, size))
        if not flags & _DYNAMIC:
            shape = _Shape(name, flags, key, data or ())
            found.update(
                NftElement(scope, family, name, element, value)
                for element, value in _elements(shape, _dump_elements(netlink, family, name))
            )
    return found


def _dump_elements(netlink: Socket, family: Family, name: str) -> Iterator[dict[int, bytes]]:
    for found in _dump(netlink, _GET_ELEMENT, family, attribute(2, text(name))):
        for _, element in each_attribute(found.get(3, b"")):
            yield attributes(element)


def _elements(shape: _Shape, elements: Iterable[dict[int, bytes]]) -> Iterator[tuple[str, str]]:
    if shape.flags & _INTERVAL and len(shape.key) == 1:
        yield from _intervals(shape, elements)
        return
    for element in elements:
        low = attributes(element[1])[1]
        high = attributes(element[10])[1] if 10 in element else low
        yield read_range(shape.key, low, high), _value(shape, element)


def _intervals(shape: _Shape, elements: Iterable[dict[int, bytes]]) -> Iterator[tuple[str, str]]:
    """The kernel keeps where an interval begins and, unless the next begins right there, where it is over."""
    (one,) = shape.key
    edges = sorted(
        (
            (
                int.from_bytes(attributes(element[1])[1], "big"),
                not _be32(element.get(3, bytes(4))) & _INTERVAL_END,
                element,
            )
            for element in elements
        ),
        key=lambda edge: edge[:2],
    )
    last = (1 << one.size * 8) - 1
    for place, (low, begins, element) in enumerate(edges):
        if begins:
            high = edges[place + 1][0] - 1 if place + 1 < len(edges) else last
            words = read_range(shape.key, low.to_bytes(one.size, "big"), high.to_bytes(one.size, "big"))
            yield words, _value(shape, element)


def _value(shape: _Shape, element: dict[int, bytes]) -> str:
    if 2 not in element:
        return ""
    data = attributes(element[2])
    if 2 in data:
        verdict = attributes(data[2])
        word = _VERDICTS.get(struct.unpack(">i", verdict[1])[0], "unknown")
        return f"{word} {as_text(verdict[2])}" if 2 in verdict else word
    return read_value(shape.data, data[1])


def _be32(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big")
