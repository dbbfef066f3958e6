"""Hears when a routing daemon's entries go from our namespaces: then ours are to stand in their place, at once.

One socket for all namespaces, as `rules_watch.py` has, by whose numbers the kernel says which it was.
"""

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Callable

from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux.netlink import ROUTE, as_u32

_SOL_NETLINK, _ADD_MEMBERSHIP, _LISTEN_ALL_NSID = 270, 1, 8
_SO_ATTACH_FILTER = 26
_GROUP_OF_NEIGHBOURS = 3
_FLAGS_AT = 16 + 10
"""In `struct ndmsg`, behind the message's header."""
_BYTES = 4096
_GATHERED_S = 0.02
"""A daemon that ends takes its entries away one by one: the first to go wakes us, the others are seen then."""


class LearnedWatch:
    """`gone` is told the namespaces, on the event loop; `scope_of` names one by the kernel's number for it."""

    def __init__(self, gone: Callable[[frozenset[str]], None], scope_of: Callable[[int], str | None]) -> None:
        """Raises OSError where it cannot listen."""
        self._gone = gone
        self._scope_of = scope_of
        self._suspects: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._gathering: asyncio.TimerHandle | None = None
        self._socket = _listening()
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        if self._gathering is not None:
            self._gathering.cancel()
        self._socket.close()

    def _read(self) -> None:
        try:
            while True:
                data, ancillary, _, _ = self._socket.recvmsg(_BYTES, socket.CMSG_SPACE(4))
                if len(data) > _FLAGS_AT and data[_FLAGS_AT] & wire.NTF_EXT_LEARNED:
                    numbers = [as_u32(value) for level, _, value in ancillary if level == _SOL_NETLINK]
                    self._suspects.update(scope for one in numbers if (scope := self._scope_of(one)))
        except BlockingIOError:
            pass
        except OSError as error:
            # Too many to keep: the audit finds them.
            if error.errno != errno.ENOBUFS:
                raise
        if self._suspects and self._gathering is None:
            self._gathering = self._loop.call_later(_GATHERED_S, self._tell)

    def _tell(self) -> None:
        self._gathering = None
        suspects, self._suspects = frozenset(self._suspects), set()
        self._gone(suspects)


def _listening() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, ROUTE)
    try:
        _attach_filter(sock)
        sock.bind((0, 0))
        sock.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
        sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_OF_NEIGHBOURS)
    except OSError:
        sock.close()
        raise
    return sock


def _attach_filter(sock: socket.socket) -> None:
    """Classic BPF: only what tells of an entry that is gone."""
    kind = socket.ntohs(wire.DELETE_NEIGHBOUR)
    steps = ((0x28, 0, 0, 4), (0x15, 0, 1, kind), (0x06, 0, 0, _BYTES), (0x06, 0, 0, 0))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(steps), ctypes.addressof(program)))
