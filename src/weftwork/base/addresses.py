"""Addresses of either family, and the two shapes of a MAC."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType

Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network

Mac = NewType("Mac", str)
"""Six lower-case octets, `02:57:00:00:00:01`."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def parse_mac(text: str) -> Mac:
    """A unicast MAC in canonical form; ValueError for anything else (IEEE 802: bit 0 is the group bit)."""
    canonical = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(canonical):
        raise ValueError(f"{text!r} is not a MAC address such as 02:57:00:00:00:01")
    if int(canonical[:2], 16) & 1 or canonical == "00:00:00:00:00:00":
        raise ValueError(f"{text!r} is not a unicast MAC address")
    return Mac(canonical)
