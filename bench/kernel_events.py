"""Hears of every change the kernel tells about in some namespaces: links, addresses, routes, neighbours, nftables."""

import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from weftwork.testing.inside import open_socket

_NETFILTER = 12
_NFTABLES_GROUP = 7
_ROUTE_GROUPS = (1, 3, 5, 7, 8, 9, 11, 26)
"""Links, neighbours, IPv4 addresses, routes and rules, IPv6 addresses and routes, multicast database."""
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33


class KernelEvents:
    """Sockets that listen from `with` on, two per namespace."""

    def __init__(self, scopes: Iterable[str]) -> None:
        self._scopes = sorted(scopes)
        self._sockets: list[tuple[str, socket.socket]] = []

    def __enter__(self) -> Self:
        for scope in self._scopes:
            for protocol, groups in ((socket.NETLINK_ROUTE, _ROUTE_GROUPS), (_NETFILTER, (_NFTABLES_GROUP,))):
                one = open_socket(scope, socket.AF_NETLINK, socket.SOCK_RAW, protocol)
                one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 20)
                for group in groups:
                    one.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
                one.setblocking(False)
                self._sockets.append((f"{scope}/{protocol}", one))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, one in self._sockets:
            one.close()
        self._sockets.clear()

    def seen(self) -> list[str]:
        """What came since, one word per message: where, and the message's type."""
        return [f"{where}: {kind}" for where, one in self._sockets for kind in _types(one)]


def _types(one: socket.socket) -> list[int]:
    found: list[int] = []
    while True:
        try:
            data = one.recv(1 << 18)
        except BlockingIOError:
            return found
        while data:
            length, kind = struct.unpack_from("=IH", data)
            found.append(kind)
            data = data[(length + 3) & ~3 :]
