"""Listens for logged packets in the namespaces of VPCs, each by a socket of its own (NFNETLINK_LOG).

An open socket keeps its namespace alive, so one whose name is gone is closed. Of each namespace so many packets a
second are read and no more: what comes faster waits for room in the kernel, which leaves it out.
"""

import asyncio
import os
import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.flow_packets import seen_in
from weftwork.drivers.linux.netlink import NETFILTER, Request, Socket, attribute
from weftwork.program.flow_log import GROUP, SNAP_BYTES
from weftwork.seams.flows import Seen, TakeSeen

READS_PER_S = 400
"""Of a namespace; a read has one packet, or a few."""
LOOK_S = 0.5
"""How soon a namespace that is new is listened in, and one that is gone let go of."""
BUFFER_BYTES = 256 * 1024
TOLD_AT_ONCE = 500
_CONFIG = 4 << 8 | 1
"""NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG."""
_COMMAND, _MODE, _TIMEOUT = 1, 2, 4
_BIND = 1
_COPY_PACKET = 2
_A_TENTH_OF_A_SECOND = 10


@dataclass(slots=True)
class _Listener:
    scope: str
    inode: int
    socket: Socket
    reads: float = READS_PER_S
    names: dict[int, str] = field(default_factory=dict)


class LinuxFlowSource:
    """Implements `seams.flows.FlowSource`, in a thread of its own, which changes namespaces."""

    followed_kinds = frozenset({"vpc"})

    def __init__(self, take: TakeSeen) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._wanted: frozenset[str] = frozenset()
        self._listeners: dict[str, _Listener] = {}
        self._selector = selectors.DefaultSelector()
        self._ends = False
        self._thread: threading.Thread | None = None
        self._news, self._newsbox = socket.socketpair()
        self._selector.register(self._newsbox, selectors.EVENT_READ)

    def follow(self, scopes: frozenset[str]) -> None:
        """Without any scope there is no thread."""
        self._wanted = scopes
        if self._thread is None and scopes:
            self._thread = threading.Thread(target=self._run, name="weft-flow-log", daemon=True)
            self._thread.start()
        self._wake()

    def close(self) -> None:
        self._ends = True
        self._wake()
        if self._thread is not None:
            self._thread.join()
        self._news.close()
        self._newsbox.close()
        self._selector.close()

    def _wake(self) -> None:
        with suppress(OSError):
            self._news.send(b".")

    def _run(self) -> None:
        looked_at = 0.0
        while not self._ends:
            now = time.monotonic()
            if now - looked_at >= LOOK_S:
                self._keep_up(now - looked_at)
                looked_at = now
            ready = self._selector.select(LOOK_S if self._wanted or self._listeners else None)
            seen: list[Seen] = []
            for key, _ in ready:
                if key.data is None:
                    self._newsbox.recv(64)
                    looked_at = 0.0
                else:
                    seen += self._read(key.data)
            if seen:
                with suppress(RuntimeError):  # The loop is gone: the server ends.
                    self._loop.call_soon_threadsafe(self._take, seen)
        for scope in list(self._listeners):
            self._let_go(scope)

    def _keep_up(self, passed_s: float) -> None:
        for scope, one in list(self._listeners.items()):
            if scope not in self._wanted or _inode(scope) != one.inode:
                self._let_go(scope)
                continue
            had_none = one.reads < 1
            one.reads = min(READS_PER_S, one.reads + passed_s * READS_PER_S)
            one.names.clear()
            if had_none:
                self._selector.register(one.socket, selectors.EVENT_READ, one)
        for scope in self._wanted - self._listeners.keys():
            with suppress(OSError):
                self._listen(scope)

    def _listen(self, scope: str) -> None:
        with namespaces.opened(scope) as namespace, namespaces.inside(namespace):
            listening = Socket(NETFILTER, buffer_bytes=BUFFER_BYTES)
            try:
                bind = struct.pack(">BBH", socket.AF_UNSPEC, 0, GROUP)
                mode = struct.pack(">IBx", SNAP_BYTES, _COPY_PACKET)
                listening.ask(Request(_CONFIG, 0, bind + attribute(_COMMAND, bytes((_BIND,)))))
                timeout = attribute(_TIMEOUT, struct.pack(">I", _A_TENTH_OF_A_SECOND))
                listening.ask(Request(_CONFIG, 0, bind + attribute(_MODE, mode) + timeout))
            except OSError:
                listening.close()
                raise
            self._listeners[scope] = one = _Listener(scope, os.fstat(namespace).st_ino, listening)
        self._selector.register(listening, selectors.EVENT_READ, one)

    def _read(self, one: _Listener) -> list[Seen]:
        """What there is, as far as it is to be read now."""
        seen: list[Seen] = []
        while one.reads >= 1 and len(seen) < TOLD_AT_ONCE:
            try:
                data = one.socket.receive_now()
            except BlockingIOError:
                return seen
            except OSError:  # ENOBUFS: the kernel had no room for some.
                continue
            finally:
                one.reads -= 1
            seen += seen_in(data, one.scope, lambda index: self._name(one, index), time.time_ns())
        if one.reads < 1:
            self._selector.unregister(one.socket)
        return seen

    def _name(self, one: _Listener, index: int) -> str:
        name = one.names.get(index)
        if name is None:
            name = ""
            with suppress(OSError), namespaces.opened(one.scope) as namespace, namespaces.inside(namespace):
                name = socket.if_indextoname(index)
            one.names[index] = name
        return name

    def _let_go(self, scope: str) -> None:
        one = self._listeners.pop(scope)
        with suppress(KeyError):
            self._selector.unregister(one.socket)
        one.socket.close()


def _inode(scope: str) -> int:
    try:
        return namespaces.path_of(scope).stat().st_ino
    except OSError:
        return 0
