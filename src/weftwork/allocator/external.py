"""External addresses, for NAT: what the operator's pools offer."""

from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Address, Cidr


def why_not_offered(pools: Collection[Cidr], gateway: Address | None, address: Address) -> str:
    """In words that follow the address; empty for one that is offered. Pools of two addresses or one have neither a
    network nor a broadcast address."""
    if address == gateway:
        return "is the gateway of the external network"
    around = [pool for pool in pools if address in pool]
    if not around:
        return f"is in none of the pools: {', '.join(map(str, pools)) or 'there are none'}"
    if all(_is_edge(pool, address) for pool in around):
        edge = "network" if address == around[0].network_address else "broadcast"
        return f"is the {edge} address of the pool {around[0]}"
    return ""


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
