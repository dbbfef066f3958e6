"""Forgets the flows of addresses that are gone (ctnetlink): a later owner must not inherit their verdicts.

One dump of the namespace's table, bounded by nf_conntrack_max; none when the table is empty.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

from weftwork.base.addresses import Address
from weftwork.drivers.linux.links import family_of
from weftwork.drivers.linux.netlink import NETFILTER, Request, Socket, attribute, attributes

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP, _NESTED = 1, 0x8000
_IP_ATTRIBUTES = (1, 2, 3, 4)
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")


def forget(addresses: Iterable[Address]) -> int:
    """Delete every flow in which one of the addresses takes part, before or after NAT; how many there were.

    Works in the namespace of the calling thread. Raises NetlinkError.
    """
    by_family: dict[int, set[bytes]] = {}
    for one in addresses:
        by_family.setdefault(family_of(one), set()).add(one.packed)
    if not by_family or not _any_flows():
        return 0
    forgotten = 0
    with Socket(NETFILTER) as netlink:
        for family, packed in by_family.items():
            body = struct.pack("=BBH", family, 0, 0)
            doomed = [
                Request(_DELETE, 0, body + _identity(flow))
                for flow in netlink.dump(_GET, body)
                if any(one in flow for one in packed) and packed & _ends(flow)
            ]
            answers = netlink.exchange(doomed)
            forgotten += sum(answer.error is None for answer in answers)
    return forgotten


def _any_flows() -> bool:
    try:
        return _COUNT.read_text().strip() != "0"
    except OSError:
        return False


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
