"""What being active is in the kernel: the shared address in the underlay, and an open gate to the external network.

Both are leases that the kernel itself ends: a keeper that dies or hangs is not active for longer, whoever takes over.
"""

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address

from weftwork.base.addresses import Mac
from weftwork.drivers.gate.beats import gratuitous_arp
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import namespaces, nft
from weftwork.drivers.linux.netlink import CREATE, REPLACE, Request, Socket, attribute, attributes

OPEN_MS = 2000
"""Much longer than others wait: they have taken the addresses over by then, and the kernel may be busy."""
ADDRESS_S = 4
"""The kernel counts the life of addresses in seconds."""
_TABLE = "bridge weftwork"
_IFA_CACHEINFO = 6


class Leases:
    """Taken, renewed and given back by the one thread of the keeper."""

    def __init__(self, address: IPv4Address, underlay: IPv4Address, bridge_scope: str, bridge: str) -> None:
        self._address = address
        self._device = _device_with(underlay)
        self._scope = bridge_scope
        self._bridge = bridge
        self._rules = nft.Transactions()
        self._route = Socket()

    def renew(self) -> None:
        """Or take. Raises OSError, NftError."""
        body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, self._device[0])
        body += attribute(wire.IFA_LOCAL, self._address.packed) + attribute(wire.IFA_ADDRESS, self._address.packed)
        body += attribute(_IFA_CACHEINFO, struct.pack("=IIII", ADDRESS_S, ADDRESS_S, 0, 0))
        self._route.ask(Request(wire.NEW_ADDRESS, CREATE | REPLACE, body))
        self._run(
            f"add element {_TABLE} open {{ 0 }}\ndelete element {_TABLE} open {{ 0 }}\n"
            f"add element {_TABLE} open {{ 0 timeout {OPEN_MS}ms }}\n"
        )

    def give_back(self) -> None:
        with suppress(nft.NftError, OSError):
            self._run(f"add element {_TABLE} open {{ 0 }}\ndelete element {_TABLE} open {{ 0 }}\n")
        body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, self._device[0])
        body += attribute(wire.IFA_LOCAL, self._address.packed)
        with suppress(OSError):
            self._route.ask(Request(wire.DELETE_ADDRESS, 0, body))

    def announce(self, announced: list[tuple[IPv4Address, Mac]]) -> None:
        """That the addresses are here now: the shared one in the underlay, the others outside."""
        _, name = self._device
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
            link.bind((name, 0))
            link.send(gratuitous_arp(link.getsockname()[4], self._address))
        with (
            suppress(OSError),
            namespaces.opened(self._scope) as there,
            namespaces.inside(there),
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link,
        ):
            link.bind((self._bridge, 0))
            for address, owner in announced:
                link.send(gratuitous_arp(wire.mac_bytes(owner), address))

    def _run(self, script: str) -> None:
        with namespaces.opened(self._scope) as there, namespaces.inside(there):
            self._rules.run(self._scope, script)


def _device_with(address: IPv4Address) -> tuple[int, str]:
    """Index and name of the device that has an address. Raises OSError."""
    with Socket() as route:
        for body in route.dump(wire.GET_ADDRESS, struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0)):
            index = struct.unpack_from("=i", body, 4)[0]
            if attributes(body, 8).get(wire.IFA_LOCAL) == address.packed:
                return index, socket.if_indextoname(index)
    raise OSError(f"no device has {address}")
