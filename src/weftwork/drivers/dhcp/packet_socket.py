"""Packet sockets that hear nothing but DHCP requests on one interface of one network namespace.

An open socket keeps its namespace alive, also after the last name of it is gone: close it then.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.drivers.dhcp.codec import SERVER_PORT
from weftwork.drivers.linux.namespaces import inside, opened, path_of

Place = tuple[str, str]
"""(scope, interface): the name of a network namespace and of a link in it."""

FRAME_BYTES_MAX = 2048
"""Longer frames arrive cut off and are malformed then; no client sends any."""

_ETH_P_IP, _ETH_P_ALL = 0x0800, 0x0003
_IFREQ = struct.Struct("16s24s")
_COUNTERS = struct.Struct("II")
_SIOCGIFINDEX, _SIOCGIFHWADDR = 0x8933, 0x8927
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_RECEIVE_BUFFER_BYTES = 1 << 20
"""Several hundred requests: what a subnet may send while the event loop is elsewhere."""


@dataclass(frozen=True, slots=True)
class NamespaceIdentity:
    """Which namespace a name stands for; a namespace keeps it for as long as a socket of ours is in it."""

    device: int
    inode: int


class PacketSocket:
    """Owns one socket. `ifindex` and `namespace` are those at the time of opening."""

    def __init__(self, place: Place, namespace: NamespaceIdentity, sock: socket.socket) -> None:
        self.place = place
        self._path = path_of(place[0])
        self._namespace = namespace
        self._socket = sock
        self._ifindex = self._current_ifindex()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes:
        """One frame. Raises BlockingIOError when there is none, OSError when the link went down or away."""
        return self._socket.recv(FRAME_BYTES_MAX)

    def send(self, frame: bytes) -> None:
        """Never waits. Raises OSError when the frame did not leave."""
        self._socket.send(frame)

    def mac(self) -> bytes:
        """The link's present MAC. Raises OSError when the link is gone."""
        return self._ioctl(_SIOCGIFHWADDR)[2:8]

    def is_in_place(self) -> bool:
        """False once the namespace or the link, by its name, is not the one that was opened."""
        try:
            namespace = _identity(self._path.stat())
        except FileNotFoundError:
            return False
        return namespace == self._namespace and self._current_ifindex() == self._ifindex != 0

    def take_drops(self) -> int:
        """How many requests the kernel had no room for since the last call."""
        _, drops = _COUNTERS.unpack(self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _COUNTERS.size))
        return int(drops)

    def close(self) -> None:
        self._socket.close()

    def _current_ifindex(self) -> int:
        """0 when there is no such link."""
        try:
            return int(struct.unpack_from("i", self._ioctl(_SIOCGIFINDEX))[0])
        except OSError:
            return 0

    def _ioctl(self, request: int) -> bytes:
        answer = fcntl.ioctl(self._socket, request, _IFREQ.pack(self.place[1].encode(), b""))
        return answer[16:]


def open_packet_sockets(places: Iterable[Place]) -> dict[Place, PacketSocket | Failure]:
    """One socket per place, or why not. The calling thread changes namespaces meanwhile: nobody else may be in it."""
    return {place: _open(place) for place in places}


def _open(place: Place) -> PacketSocket | Failure:
    scope, interface = place
    try:
        with opened(scope) as namespace, inside(namespace):
            return PacketSocket(place, _identity(os.fstat(namespace)), _listen(interface))
    except FileNotFoundError:
        return Failure("NETNS_MISSING", f"there is no network namespace {scope}")
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return Failure("LINK_MISSING", f"there is no interface {interface} in {scope}")
        return Failure("DHCP_SOCKET_FAILED", f"cannot listen on {interface} in {scope}: {error.strerror}")


def _identity(status: os.stat_result) -> NamespaceIdentity:
    return NamespaceIdentity(status.st_dev, status.st_ino)


def _listen(interface: str) -> socket.socket:
    # Protocol 0 hears nothing; so no frame gets in before the filter is in place.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        _attach_filter(sock)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        # All protocols, because those are asked before any one: a socket for IPv4 alone would share each routed packet
        # with the router, which then has to copy it before it may change the TTL.
        sock.bind((interface, _ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock


def _attach_filter(sock: socket.socket) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _REQUESTS_ONLY))
    sock.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("HL", len(_REQUESTS_ONLY), ctypes.addressof(program)),
    )


_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_HALF_BEHIND_X, _X_IS_IPV4_HEADER_LENGTH = 0x48, 0xB1
_IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x15, 0x45, 0x06
_PACKET_TYPE, _VLAN_TAG_PRESENT = 0xFFFFF004, 0xFFFFF030
_PACKET_OTHERHOST = 3
"""To another MAC."""

# Classic BPF: (operation, steps to skip if true, if false, operand), as `tcpdump -d` prints it.
_REQUESTS_ONLY = (
    (_LOAD_WORD, 0, 0, _PACKET_TYPE),
    (_IF_EQUAL, 12, 0, _PACKET_OTHERHOST),
    (_LOAD_WORD, 0, 0, _VLAN_TAG_PRESENT),  # another interface's
    (_IF_EQUAL, 0, 10, 0),
    (_LOAD_HALF, 0, 0, 12),
    (_IF_EQUAL, 0, 8, _ETH_P_IP),
    (_LOAD_BYTE, 0, 0, 23),
    (_IF_EQUAL, 0, 6, socket.IPPROTO_UDP),
    (_LOAD_HALF, 0, 0, 20),
    (_IF_ANY_BIT, 4, 0, 0x3FFF),  # a fragment, or has more of them
    (_X_IS_IPV4_HEADER_LENGTH, 0, 0, 14),
    (_LOAD_HALF_BEHIND_X, 0, 0, 16),  # the destination port: 14 bytes of Ethernet, 2 of UDP
    (_IF_EQUAL, 0, 1, SERVER_PORT),
    (_RETURN, 0, 0, FRAME_BYTES_MAX),
    (_RETURN, 0, 0, 0),
)
