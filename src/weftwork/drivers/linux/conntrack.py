"""Forgets the flows of addresses that are gone (ctnetlink): a later owner must not inherit their verdicts.

The kernel looks for them, so what it costs here follows from these flows and not from those of others: a table may hold
a quarter of a million. For many addresses at once, one dump of all is cheaper than four searches for each.
"""

import errno
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from weftwork.base.addresses import Address
from weftwork.drivers.linux.links import family_of
from weftwork.drivers.linux.netlink import NETFILTER, Request, Socket, as_u32, attribute, attributes, nested, u32

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _NESTED = 1, 0x8000
_IP_ATTRIBUTES = (1, 2, 3, 4)
_SOURCE, _DESTINATION = 1, 2
"""What a filter compares, as bits; the addresses' own attributes follow: IPv4's are 1 and 2, IPv6's 3 and 4."""
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_SEARCHED_FOR_MAX = 4


def forget(addresses: Iterable[Address]) -> None:
    """Delete every flow in which one of the addresses takes part, before or after NAT.

    Works in the namespace of the calling thread. Raises NetlinkError.
    """
    wanted = set(addresses)
    if not wanted or not _any_flows():
        return
    with Socket(NETFILTER) as netlink:
        if len(wanted) > _SEARCHED_FOR_MAX:
            _delete(netlink, _among_all(netlink, wanted))
            return
        for one in sorted(wanted, key=str):
            _forget_by_search(netlink, one)


def _any_flows() -> bool:
    try:
        return _COUNT.read_text().strip() != "0"
    except OSError:
        return False


def _forget_by_search(netlink: Socket, one: Address) -> None:
    """Linux deletes by a filter since 6.10; before, it refuses to, and finds by a filter what we delete then.

    Some say that they cannot; Debian 12's 6.1 misses the rest of what would be a flow of its own.
    """
    searches = list(_searches(one))
    for search, answer in zip(
        searches, netlink.exchange([Request(_DELETE, 0, body) for body in searches]), strict=True
    ):
        if answer.error is None:
            continue
        if answer.error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise answer.error
        _delete(netlink, (flow for flow in netlink.dump(_GET, search) if one.packed in _ends(flow)))


def _searches(one: Address) -> Iterator[bytes]:
    """As the sender or the receiver, of the flow's first packet or of the answers: NAT makes four of two."""
    first = 1 if one.version == 4 else 3
    for side in (_TUPLE_ORIG, _TUPLE_REPLY):
        for place, flag in enumerate((_SOURCE, _DESTINATION)):
            end = nested(side, nested(_TUPLE_IP, attribute(first + place, one.packed)))
            yield _header(family_of(one)) + end + nested(_FILTER, attribute(side, u32(flag)))


def _among_all(netlink: Socket, addresses: Collection[Address]) -> Iterator[bytes]:
    packed = {one.packed for one in addresses}
    # Most flows are of others, and taking one apart costs more than asking if any of these words is in it.
    beginnings = {as_u32(one) for one in packed}
    for family in sorted({family_of(one) for one in addresses}):
        for flow in netlink.dump(_GET, _header(family)):
            if not beginnings.isdisjoint(_words(flow)) and packed & _ends(flow):
                yield flow


def _words(message: bytes) -> memoryview:
    """Of 32 bits: each attribute begins at one."""
    return memoryview(message)[: len(message) & ~3].cast("I")


def _delete(netlink: Socket, flows: Iterable[bytes]) -> None:
    """One that ended meanwhile is a refusal that does not matter."""
    netlink.exchange([Request(_DELETE, 0, flow[:1] + bytes(3) + _identity(flow)) for flow in flows])


def _header(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _ends(flow: bytes) -> set[bytes]:
    found = attributes(flow, 4)
    return {
        packed
        for side in (_TUPLE_ORIG, _TUPLE_REPLY)
        for kind, packed in attributes(attributes(found.get(side, b"")).get(_TUPLE_IP, b"")).items()
        if kind in _IP_ATTRIBUTES
    }


def _identity(flow: bytes) -> bytes:
    found = attributes(flow, 4)
    kept = attribute(_TUPLE_ORIG | _NESTED, found[_TUPLE_ORIG])
    return kept + b"".join(attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
