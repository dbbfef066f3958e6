"""Which addresses of a subnet can be given to ports: all but network, gateway (the first host) and broadcast."""

from ipaddress import IPv4Address, IPv4Network

from weftwork.allocator.bitmap import Bitmap
from weftwork.base.addresses import Address, Cidr

FIRST_HOST = 1


def gateway_of(cidr: Cidr) -> Address:
    return cidr.network_address + FIRST_HOST


def why_reserved(cidr: Cidr, address: Address) -> str:
    """What a reserved address of the subnet is; empty for one that a port can have."""
    if address == cidr.network_address:
        return "network address"
    if address == gateway_of(cidr):
        return "gateway"
    if address == cidr.broadcast_address and isinstance(cidr, IPv4Network):
        return "broadcast address"
    return ""


def next_address(cidr: IPv4Network, taken: Bitmap, after: int) -> int | None:
    """The offset in the subnet of the next free address behind offset `after`, going round; None when it is full.

    Next-fit rather than lowest-first: an address that was just freed rests for a while, so that nobody's
    cached neighbour entry or firewall rule meets its next owner.
    """
    return taken.next_free(after, FIRST_HOST + 1, cidr.num_addresses - 1)


def address_at(cidr: IPv4Network, offset: int) -> IPv4Address:
    return IPv4Address(int(cidr.network_address) + offset)


def offset_of(cidr: Cidr, address: Address) -> int:
    return int(address) - int(cidr.network_address)


def capacity(cidr: Cidr) -> int:
    """How many ports fit."""
    return max(0, cidr.num_addresses - 3)
