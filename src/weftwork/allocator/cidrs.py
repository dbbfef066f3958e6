"""Chooses ranges: a VPC's from the pool, a subnet's inside its VPC."""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network

VPC_PREFIX = 16

_UNUSABLE = (
    (IPv4Network("0.0.0.0/8"), "this network (RFC 791)"),
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("169.254.0.0/16"), "link-local"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("240.0.0.0/4"), "reserved (class E)"),
)


def why_unusable(cidr: IPv4Network) -> str:
    """Why guests cannot have addresses of this range; empty when they can."""
    return next((f"{range_} is {why}" for range_, why in _UNUSABLE if range_.overlaps(cidr)), "")


def next_vpc_range(
    pool: IPv4Network, is_taken: Callable[[IPv4Network], bool], reserved: Iterable[IPv4Network]
) -> IPv4Network | None:
    """The lowest free /16 of the pool (the pool itself when it is smaller), its first one last.

    The first one is last because 10.1.0.0/16 is what a first project expects, and because 10.0.0.0/16 is what
    most other networks of the world use already.
    """
    avoided = tuple(reserved)
    for block in _blocks(pool):
        if not is_taken(block) and not any(block.overlaps(range_) for range_ in avoided):
            return block
    return None


def _blocks(pool: IPv4Network) -> Iterator[IPv4Network]:
    prefix = max(VPC_PREFIX, pool.prefixlen)
    count = 1 << (prefix - pool.prefixlen)
    step = 1 << (32 - prefix)
    first = int(pool.network_address)
    for index in (*range(1, count), 0):
        yield IPv4Network((first + index * step, prefix))


def lowest_free_range(within: IPv4Network, prefix: int, taken: Iterable[IPv4Network]) -> IPv4Network | None:
    """The lowest aligned range of `prefix` inside `within` that overlaps nothing taken."""
    size = 1 << (32 - prefix)
    start = int(within.network_address)
    end = int(within.broadcast_address) + 1
    for low, high in sorted((int(one.network_address), int(one.broadcast_address) + 1) for one in taken):
        if start + size <= low:
            break
        if high > start:
            start = -(-high // size) * size
    return IPv4Network((start, prefix)) if start + size <= end else None
