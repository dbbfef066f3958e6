"""Hears of every nftables transaction of somebody else, in any namespace of ours, from one socket.

The socket stands where the process started and hears all namespaces that have a number there (NETLINK_LISTEN_ALL_NSID),
so it keeps none of them alive. The kernel says who committed by the name of the thread: ours have one of their own.
"""

import asyncio
import ctypes
import errno
import threading
from collections.abc import Callable

from weftwork.drivers.linux.all_namespaces import listening, receive
from weftwork.drivers.linux.netlink import (
    NETFILTER,
    NetlinkError,
    Request,
    Socket,
    as_text,
    as_u32,
    attribute,
    attributes,
    u32,
)

OUR_THREADS = "weftwork-rules"
"""At most 15 bytes (TASK_COMM_LEN)."""

_PR_SET_NAME = 15
_NFNLGRP_NFTABLES = 7
_NEW_GENERATION = 10 << 8 | 15
"""NFNL_SUBSYS_NFTABLES and NFT_MSG_NEWGEN: the last message of a transaction."""
_THREAD_NAME = 3
_BEHIND_HEADERS = 20
_NEW_NSID, _GET_NSID = 88, 90
_NSID, _NAMESPACE_DESCRIPTOR = 1, 3
_ANY_NUMBER = 0xFFFFFFFF
_PAUSE_S = 0.2
"""Between two tellings: whoever commits all the time does not keep us looking all the time."""

_libc = ctypes.CDLL(None, use_errno=True)


def name_this_thread() -> None:
    """Its transactions are ours."""
    _libc.prctl(_PR_SET_NAME, OUR_THREADS.encode(), 0, 0, 0)


class RulesWatch:
    """`changed` is told the namespaces, on the event loop. `follow` may be called by any thread."""

    def __init__(self, changed: Callable[[frozenset[str]], None]) -> None:
        """Raises OSError where it cannot listen."""
        self._changed = changed
        self._route = Socket()
        self._lock = threading.Lock()
        self._scopes: dict[int, str] = {}
        self._suspects: set[str] = set()
        self._pausing: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        # What ends a transaction; what changed in it need not wake us.
        self._socket = listening(NETFILTER, _NFNLGRP_NFTABLES, _NEW_GENERATION)
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        if self._pausing is not None:
            self._pausing.cancel()
        self._socket.close()
        self._route.close()

    def follow(self, scope: str, descriptor: int) -> None:
        """From now on, hear of the namespace of that name, which is open as `descriptor`. Raises OSError."""
        with self._lock:
            self._scopes[self._number(descriptor)] = scope

    def scope_of(self, number: int) -> str | None:
        """Which of those it follows the kernel means by that number, here where it listens."""
        return self._scopes.get(number)

    def _number(self, descriptor: int) -> int:
        which = attribute(_NAMESPACE_DESCRIPTOR, u32(descriptor))
        try:
            self._route.ask(Request(_NEW_NSID, 0, _family() + which + attribute(_NSID, u32(_ANY_NUMBER))))
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
        (reply,) = self._route.ask(Request(_GET_NSID, 0, _family() + which))
        return as_u32(attributes(reply, len(_family()))[_NSID])

    def _read(self) -> None:
        try:
            while True:
                data, numbers = receive(self._socket)
                if as_text(attributes(data, _BEHIND_HEADERS).get(_THREAD_NAME, b"")) == OUR_THREADS:
                    continue
                self._suspects.update(self._scopes[number] for number in numbers if number in self._scopes)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            # Too many to keep: any of them may have been meant.
            self._suspects.update(self._scopes.values())
        if self._pausing is None:
            self._tell()

    def _tell(self) -> None:
        self._pausing = None
        if self._suspects:
            suspects, self._suspects = frozenset(self._suspects), set()
            self._pausing = self._loop.call_later(_PAUSE_S, self._tell)
            self._changed(suspects)


def _family() -> bytes:
    """struct rtgenmsg, padded."""
    return bytes(4)
