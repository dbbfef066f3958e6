"""A guest that waits for its interface, sets its address without a process, and says when its first packet passed."""

import fcntl
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from types import TracebackType
from typing import Self

from bench.echo import Echo
from weftwork.testing.guests import Guest
from weftwork.testing.inside import open_socket

WAIT_S = 30.0
PAUSE_S = 0.0002
INTERFACE = "eth0"
_LINK_GROUP = 1
_NEW_LINK = 16
_UP_AND_CARRIER = 0x1 | 0x10000
_SET_ADDRESS, _SET_MASK, _SET_NEIGHBOUR = 0x8916, 0x891C, 0x8955
_COMPLETE_AND_PERMANENT = 0x2 | 0x4


class Newcomer:
    """A namespace that is about to become a guest; its name, or where it is to be found."""

    def __init__(self, netns: str) -> None:
        self.guest = Guest(netns, INTERFACE)

    def __enter__(self) -> Self:
        self._links = open_socket(self.guest.name, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._links.bind((0, _LINK_GROUP))
        self._links.settimeout(WAIT_S)
        self._control = open_socket(self.guest.name, socket.AF_INET, socket.SOCK_DGRAM)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._links.close()
        self._control.close()

    def wait_for_carrier(self) -> None:
        """Until the kernel says that the interface is up and cabled."""
        while True:
            data = self._links.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                _, index, flags = struct.unpack_from("=BxxxiI", data, 16)
                if kind == _NEW_LINK and index != 1 and flags & _UP_AND_CARRIER == _UP_AND_CARRIER:
                    return
                data = data[(length + 3) & ~3 :]

    def configure(self, address: IPv4Address, subnet: IPv4Network, peer: IPv4Address, peer_mac: str) -> None:
        """The address, and the peer as a neighbour, so that no address resolution is measured."""
        for request, value in ((_SET_ADDRESS, address), (_SET_MASK, subnet.netmask)):
            fcntl.ioctl(self._control, request, struct.pack("16s16s8x", INTERFACE.encode(), _socket_address(value)))
        hardware = struct.pack("=H6s8x", 1, bytes.fromhex(peer_mac.replace(":", "")))
        entry = _socket_address(peer) + hardware + struct.pack("=i16x16s", _COMPLETE_AND_PERMANENT, INTERFACE.encode())
        fcntl.ioctl(self._control, _SET_NEIGHBOUR, entry)

    def first_answer_at(self, peer: IPv4Address, clock: Callable[[], float] = time.perf_counter) -> float:
        """Ping until the first answer; when it came."""
        echo = Echo(self.guest.name, str(peer))
        try:
            end = clock() + WAIT_S
            while clock() < end:
                echo.send(1)
                pause_ends = clock() + PAUSE_S
                while clock() < pause_ends:
                    if echo.answers():
                        return clock()
        finally:
            echo.close()
        raise AssertionError(f"{self.guest.name}: no packet passed within {WAIT_S} s")


def _socket_address(address: IPv4Address) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)
