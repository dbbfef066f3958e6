"""What may be asked of a host: refusals before anything is touched."""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, collapse_addresses

from weftwork.base import codes
from weftwork.base.addresses import Mac, parse_mac
from weftwork.model.stack import Nic, Router, Stack

VPC_ID_MAX = (1 << 24) - 1
VLAN_MAX = 4094
STACKS_MAX = 4096
NICS_MAX = 1000
"""Of a stack: a Linux bridge has 1023 ports."""
ADDRESSES_MAX = 16
ROUTES_MAX = 256
LEGS_MAX = 64
DNS_MAX = 8
ID_BYTES_MAX = 63
GATEWAYS = "02:47:"
"""MACs of ours begin so."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NETNS = re.compile(r"[A-Za-z0-9._-]{1,64}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_WIDEST = 8


def vpc_id(number: int) -> int:
    """Refusal VPC_ID_INVALID."""
    if not 1 <= number <= VPC_ID_MAX:
        raise codes.VPC_ID_INVALID.refusal(f"{number} is not from 1 to {VPC_ID_MAX}", field="vpc_id")
    return number


def vlan(number: int) -> int:
    """Refusal VLAN_INVALID."""
    if not 1 <= number <= VLAN_MAX:
        raise codes.VLAN_INVALID.refusal(f"{number} is not from 1 to {VLAN_MAX}", field="subnet_vlan_id")
    return number


def nic_id(text: str) -> str:
    """Refusal INVALID_NAME."""
    if not _ID.fullmatch(text) or len(text) > ID_BYTES_MAX:
        said = f"{text[:80]!r} is not an id of letters, digits, . _ and -, at most {ID_BYTES_MAX}"
        raise codes.INVALID_NAME.refusal(said, field="id")
    return text


def mac(text: str) -> Mac:
    """Refusals INVALID_MAC, MAC_RESERVED."""
    try:
        found = parse_mac(text)
    except ValueError as error:
        raise codes.INVALID_MAC.refusal(str(error), field="manual_hwaddr") from None
    if found.startswith(GATEWAYS):
        raise codes.MAC_RESERVED.refusal(f"{found} begins with {GATEWAYS}, as routers' MACs do", field="manual_hwaddr")
    return found


def addresses(texts: Iterable[str]) -> tuple[IPv4Address, ...]:
    """Refusals INVALID_ARGUMENT, IPV6_NOT_SUPPORTED."""
    found = tuple(dict.fromkeys(address(one, "ip") for one in texts))
    if len(found) > ADDRESSES_MAX:
        raise codes.INVALID_ARGUMENT.refusal(f"{len(found)} addresses, and {ADDRESSES_MAX} fit a NIC", field="ip")
    for one in found:
        if one.is_multicast or one.is_loopback or one.is_unspecified or int(one) == 0xFFFFFFFF:
            raise codes.INVALID_ARGUMENT.refusal(f"{one} is no guest's address", field="ip")
    return found


def address(text: str, field: str) -> IPv4Address:
    """Refusals INVALID_ARGUMENT, IPV6_NOT_SUPPORTED."""
    if ":" in text:
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{text[:60]!r} is an IPv6 address", field=field)
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise codes.INVALID_ARGUMENT.refusal(f"{text[:60]!r} is not an IPv4 address", field=field) from None


def netns(text: str) -> str:
    """Refusal INVALID_NETNS."""
    if text and (not _NETNS.fullmatch(text) or text in (".", "..") or text.startswith("weft-")):
        raise codes.INVALID_NETNS.refusal(f"{text[:80]!r} cannot be a guest's network namespace", field="netns")
    return text


def interface(text: str, field: str) -> str:
    """Refusal INVALID_INTERFACE."""
    if text and (not _INTERFACE.fullmatch(text) or text in ("all", "default", "lo")):
        raise codes.INVALID_INTERFACE.refusal(f"{text[:80]!r} cannot be the name of an interface", field=field)
    return text


def fits(stack: Stack, nic: Nic) -> None:
    """Among the others of its stack. Refusals MAC_ALREADY_USED, IP_ALREADY_ALLOCATED, IP_OUTSIDE_SUBNET, IP_RESERVED,
    INTERFACE_IN_USE, INVALID_ARGUMENT."""
    others = [one for one in stack.nics if one.id != nic.id]
    if len(others) >= NICS_MAX:
        raise codes.INVALID_ARGUMENT.refusal(f"stack {stack.vpc_id} has {NICS_MAX} NICs, and no more fit")
    for one in others:
        if one.mac == nic.mac:
            raise codes.MAC_ALREADY_USED.refusal(f"{nic.mac} is NIC {one.id}'s", field="manual_hwaddr")
        if both := set(one.addresses) & set(nic.addresses):
            raise codes.IP_ALREADY_ALLOCATED.refusal(f"{min(both)} is NIC {one.id}'s", field="ip")
        if nic.netns and (one.netns, one.interface) == (nic.netns, nic.interface):
            raise codes.INTERFACE_IN_USE.refusal(f"namespace {nic.netns!r} has NIC {one.id} at {nic.interface!r}")
        if nic.adopts and one.adopts == nic.adopts:
            raise codes.INTERFACE_IN_USE.refusal(f"{nic.adopts} is NIC {one.id}")
    in_its_leg(stack.router, nic)


def in_its_leg(router: Router | None, nic: Nic) -> None:
    """Refusals IP_OUTSIDE_SUBNET, IP_RESERVED."""
    leg = router.leg(nic.vlan) if router else None
    for one in nic.addresses if leg else ():
        assert leg is not None
        network = leg.gateway.network
        if one not in network:
            raise codes.IP_OUTSIDE_SUBNET.refusal(f"{one} is not in {network}, VLAN {nic.vlan}'s", field="ip")
        if one in (leg.gateway.ip, network.network_address, network.broadcast_address):
            raise codes.IP_RESERVED.refusal(f"{one} is reserved in {network}", field="ip")


def router(stack: Stack, new: Router) -> None:
    """Refusals INVALID_ARGUMENT, CIDR_OVERLAP, ROUTER_RANGE_TOO_WIDE, IP_OUTSIDE_SUBNET, IP_RESERVED."""
    if not 1 <= len(new.legs) <= LEGS_MAX:
        raise codes.INVALID_ARGUMENT.refusal(f"a router has 1 to {LEGS_MAX} addresses, not {len(new.legs)}", field="ip")
    if len(new.dns) > DNS_MAX or len(new.routes) > ROUTES_MAX:
        raise codes.INVALID_ARGUMENT.refusal(f"at most {DNS_MAX} DNS servers and {ROUTES_MAX} routes fit a router")
    if not 60 <= new.lease_time_s <= 31 * 86400:
        raise codes.INVALID_ARGUMENT.refusal("a lease lasts from a minute to 31 days", field="lease_time_s")
    if len({one.vlan for one in new.legs}) != len(new.legs):
        raise codes.INVALID_ARGUMENT.refusal("two addresses of the router are in one VLAN", field="ip")
    for one in new.legs:
        vlan(one.vlan)
        gateway(one.gateway)
    _apart(new)
    _outside(new)
    for nic in stack.nics:
        in_its_leg(new, nic)


def gateway(one: IPv4Interface) -> None:
    """Refusal INVALID_ARGUMENT."""
    network = one.network
    if not 1 <= network.prefixlen <= 30 or one.ip in (network.network_address, network.broadcast_address):
        raise codes.INVALID_ARGUMENT.refusal(f"{one} is no address for a router to have in a range", field="ip")
    if network.is_multicast or network.is_loopback or network.is_link_local:
        raise codes.INVALID_ARGUMENT.refusal(f"{one} is no address for a router to have", field="ip")


def _apart(new: Router) -> None:
    ranges = [one.gateway.network for one in new.legs]
    if new.outside:
        ranges.append(new.outside.address.network)
    for place, one in enumerate(ranges):
        other = next((there for there in ranges[:place] if there.overlaps(one)), None)
        if other is not None:
            raise codes.CIDR_OVERLAP.refusal(f"{one} overlaps {other}", field="ip")


def _outside(new: Router) -> None:
    if new.outside is None:
        if new.routes:
            raise codes.INVALID_ARGUMENT.refusal("routes lead outside, and the router has no NAT", field="routes")
        return
    network = new.outside.address.network
    if new.outside.gateway not in network or new.outside.gateway == new.outside.address.ip:
        raise codes.INVALID_ARGUMENT.refusal(f"the next hop {new.outside.gateway} is not in {network}", field="nat")
    whole = next(collapse_addresses([one.gateway.network for one in new.legs]))
    while not all(one.gateway.network.subnet_of(whole) for one in new.legs):
        whole = whole.supernet()
    if whole.prefixlen < _WIDEST:
        raise codes.ROUTER_RANGE_TOO_WIDE.refusal(f"together the ranges span {whole}", field="ip")
    destinations = [one.destination for one in new.routes]
    if len(set(destinations)) != len(destinations):
        raise codes.INVALID_ARGUMENT.refusal("two routes have the same destination", field="routes")
    for route in new.routes:
        if route.gateway not in network or route.gateway == new.outside.address.ip:
            said = f"the next hop {route.gateway} is not in {network}, the external network"
            raise codes.INVALID_ARGUMENT.refusal(said, field="routes")
        inside = next((one for one in new.legs if one.gateway.network.overlaps(route.destination)), None)
        if inside is not None or route.destination.overlaps(network) or not route.destination.prefixlen:
            said = f"{route.destination} is the router's own, or its default route"
            raise codes.INVALID_ARGUMENT.refusal(said, field="routes")
