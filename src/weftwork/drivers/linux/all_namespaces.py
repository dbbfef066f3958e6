"""A socket that hears one kind of netlink message from every namespace that has a number where it stands."""

import ctypes
import socket
import struct

from weftwork.drivers.linux.netlink import as_u32

MESSAGE_BYTES_MAX = 4096
_SOL_NETLINK, _ADD_MEMBERSHIP, _LISTEN_ALL_NSID = 270, 1, 8
_SO_ATTACH_FILTER = 26


def listening(protocol: int, group: int, kind: int) -> socket.socket:
    """To those of the multicast group, none but of that type. Raises OSError."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        _attach_filter(sock, kind)
        sock.bind((0, 0))
        sock.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
        sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        sock.close()
        raise
    return sock


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """A message, and the number of the namespace that it tells of, if the kernel says so. Raises BlockingIOError, and
    OSError ENOBUFS when there were too many to keep."""
    data, ancillary, _, _ = sock.recvmsg(MESSAGE_BYTES_MAX, socket.CMSG_SPACE(4))
    return data, [as_u32(value) for level, _, value in ancillary if level == _SOL_NETLINK]


def _attach_filter(sock: socket.socket, kind: int) -> None:
    """Classic BPF, on the type in the message's header: the others need not wake us."""
    number = socket.ntohs(kind)
    steps = ((0x28, 0, 0, 4), (0x15, 0, 1, number), (0x06, 0, 0, MESSAGE_BYTES_MAX), (0x06, 0, 0, 0))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(steps), ctypes.addressof(program)))
