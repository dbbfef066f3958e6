"""Gratuitous ARP (RFC 5227, 3): tells the external network at once where an address is now."""

import socket
import struct
from ipaddress import IPv4Address

_ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6


def announce(interface: str, mac: bytes, address: IPv4Address) -> None:
    """Send an announcement from the namespace of the calling thread. Raises OSError."""
    packed = address.packed
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + packed + bytes(6) + packed
    frame = _BROADCAST + mac + struct.pack("!H", _ETH_P_ARP) + request
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
        link.bind((interface, 0))
        link.send(frame)
