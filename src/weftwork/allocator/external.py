"""External addresses, for NAT: what the operator's pools offer."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Address, Cidr


def is_offered(pools: Iterable[Cidr], gateway: Address | None, address: Address) -> bool:
    """Inside a pool, and not its network or broadcast address (which pools of two addresses or one lack) or gateway."""
    if address == gateway:
        return False
    return any(address in pool and not _is_edge(pool, address) for pool in pools)


def next_external(
    pools: Iterable[Cidr], gateway: Address | None, is_taken: Callable[[IPv4Address], bool]
) -> IPv4Address | None:
    """The lowest address that is offered and free."""
    for pool in pools:
        if isinstance(pool, IPv4Network):
            for address in pool.hosts():
                if address != gateway and not is_taken(address):
                    return address
    return None


def _is_edge(pool: Cidr, address: Address) -> bool:
    return pool.num_addresses > 2 and address in (pool.network_address, pool.broadcast_address)
