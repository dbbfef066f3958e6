"""`weft` with crash points: before every durable step and every driver call it can be killed, as if by the kernel.

The product knows nothing of it: the launcher below wraps the calls, in the process that is to die. It starts from a
process that has everything imported already, so that hundreds of starts do not take hundreds of times as long.
"""

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import weftwork.agent.local
import weftwork.api.server
import weftwork.cli.root
import weftwork.controller.insight
import weftwork.controller.publisher  # noqa: F401
from weftwork.drivers.chassis.datapath import Datapath
from weftwork.drivers.dhcp import driver as dhcp
from weftwork.drivers.linux import arp, conntrack, namespaces, netlink, nft, sysctls, taps
from weftwork.drivers.linux import links as wire
from weftwork.drivers.ovsdb import client as ovsdb
from weftwork.model import keys
from weftwork.seams.store import Transaction
from weftwork.store.sqlite import SqliteStore
from weftwork.store.sqlite import writer as sqlite_writer
from weftwork.testing.crash_points import CrashPoints
from weftwork.testing.node import Node, ProcessHandle

_NETLINK_NAMES = {
    kind: name
    for name, kind in vars(wire).items()
    if name.startswith(("NEW_", "DELETE_", "SET_")) and isinstance(kind, int)
}
_CONNTRACK_DELETE = 1 << 8 | 2
_MS_BIND = 4096


class CrashingNode(Node):
    """A node that dies where `points` says."""

    def __init__(
        self, folder: Path, *, external: tuple[str, str] | None = None, layout: str = "", backend: str = ""
    ) -> None:
        super().__init__(folder, external=external, layout=layout, backend=backend)
        self.points = CrashPoints(folder)

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def take_down(self) -> bool:
        """`weft down`, which dies where `points` says; whether it came to its end."""
        process = self._spawn("down")
        code = process.wait(60.0)
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"weft down ended with {code}:\n{self.log.read_text()[-4000:]}")
        return code == 0

    def _spawn(self, command: str) -> ProcessHandle:
        arguments = [command, "--config", str(self._config)]
        return _Forked(_context().Process(target=_run, args=(self.folder, self.log, arguments)))


class _Forked:
    """A process of multiprocessing with the few methods of Popen that a Node needs."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, how: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, how)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("weft", timeout or 0.0)
        return code


def _context() -> multiprocessing.context.ForkServerContext:
    """Whatever runs us is imported by every process anew (`spawn` wants it so): cheap, if it is there already."""
    context = multiprocessing.get_context("forkserver")
    main = sys.modules["__main__"].__spec__
    context.set_forkserver_preload([__name__, *([main.parent] if main and main.parent else [])])
    return context


def _run(folder: Path, log: Path, arguments: Sequence[str]) -> None:
    """In the process that is to die: wrap what changes anything, then be the command `weft`."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    # The probe works in a namespace without a name, which goes with the process, whenever that dies.
    _install(CrashPoints(folder, but_not_in_thread="probe"))
    sys.argv = ["weft", *arguments]
    runpy.run_module("weftwork.apps.weft", run_name="__main__")


def _install(points: CrashPoints) -> None:
    _wrap_store(points)
    _wrap_netlink(points)
    _wrap_namespaces(points)
    _wrap_ovsdb(points)
    _wrap(nft, "run", lambda script, *_: "" if script.startswith("list") else "nft transaction", points)
    _wrap(sysctls, "write", lambda name, _: f"sysctl {name}", points)
    _wrap(taps, "create", lambda *_: "tap create", points)
    _wrap(taps, "persist", lambda *_: "tap persist", points)
    _wrap(arp, "announce", lambda *_: "arp announcement", points)
    _wrap(conntrack, "forget", lambda *_: "conntrack dump", points)
    _wrap(dhcp, "open_packet_sockets", lambda *_: "dhcp sockets", points)
    _wrap(dhcp.DhcpDriver, "_put", lambda _, new, *__: f"dhcp put {type(new).__name__}", points)
    _wrap(dhcp.DhcpDriver, "_remove", lambda _, old: f"dhcp remove {type(old).__name__}", points)


def _wrap(owner: Any, attribute: str, name_of: Callable[..., str], points: CrashPoints) -> None:
    """A crash point before every call; a call whose name is empty changes nothing and is none."""
    real = getattr(owner, attribute)

    def counted(*arguments: Any, **keywords: Any) -> Any:
        name = name_of(*arguments, **keywords)
        if name:
            points.before(name)
        return real(*arguments, **keywords)

    setattr(owner, attribute, counted)


def _wrap_store(points: CrashPoints) -> None:
    """Before a commit is asked for; written, but not committed; on the disk, but nobody was told.

    Notes of refusals are written beside calls, whenever there is time: they are no step of any.
    """
    commit = SqliteStore.commit

    async def counted_commit(self: SqliteStore, transaction: Transaction) -> int:
        if not _is_beside(transaction):
            points.before("store: before the commit")
        return await commit(self, transaction)

    write_batch = sqlite_writer.write_batch  # type: ignore[attr-defined]

    def counted_write(*arguments: Any) -> Any:
        written = write_batch(*arguments)
        if not all(map(_is_beside, arguments[1])):
            points.before("store: written, not committed")
        return written

    def name_of_success(orders: Sequence[Any], *_: Any) -> str:
        waiting = [one.transaction for one in orders if isinstance(one, sqlite_writer.Waiting)]
        return "" if all(map(_is_beside, waiting)) else "store: committed, not told"

    SqliteStore.commit = counted_commit  # type: ignore[method-assign]
    sqlite_writer.write_batch = counted_write  # type: ignore[attr-defined,assignment]
    _wrap(sqlite_writer, "_succeeded", name_of_success, points)


def _is_beside(transaction: Transaction) -> bool:
    return bool(transaction.writes) and all(one.key.startswith(keys.audit()) for one in transaction.writes)


def _wrap_netlink(points: CrashPoints) -> None:
    """Before every single request that changes something, though the kernel takes those of one send together.

    Finer than any SIGKILL, but for a link's creation and the request after it, which marks it as ours: they must
    reach the kernel in one send, and the driver sees to it.
    """
    exchange = netlink.Socket._exchange_chunk

    def counted(self: netlink.Socket, chunk: Sequence[netlink.Request]) -> list[netlink.Answer]:
        protocol = self._socket.proto
        for place, request in enumerate(chunk):
            name = _netlink_name(protocol, request)
            if name and not (place and _creates_link(chunk[place - 1])) and points.is_fatal(name):
                if place:
                    exchange(self, chunk[:place])
                points.die()
        return exchange(self, chunk)

    netlink.Socket._exchange_chunk = counted  # type: ignore[method-assign]


def _netlink_name(protocol: int, request: netlink.Request) -> str:
    """Empty for a request that only asks."""
    if protocol == netlink.ROUTE:
        name = _NETLINK_NAMES.get(request.type, "")
        return f"netlink {name}" if name else ""
    return "netlink delete flow" if request.type == _CONNTRACK_DELETE else ""


def _creates_link(request: netlink.Request) -> bool:
    return request.type == wire.NEW_LINK and bool(request.flags & netlink.EXCL)


def _wrap_ovsdb(points: CrashPoints) -> None:
    """Before a transaction is sent; and when the database has it, but nobody was told."""
    transact = ovsdb.Client.transact

    async def counted(self: ovsdb.Client, operations: Iterable[Mapping[str, Any]]) -> list[Any]:
        wanted = list(operations)
        if not any(map(_changes_rows, wanted)):
            return await transact(self, wanted)
        points.before(f"{self._database}: before the transaction")
        answer = await transact(self, wanted)
        points.before(f"{self._database}: committed, not told")
        return answer

    ovsdb.Client.transact = counted  # type: ignore[method-assign]
    _wrap(Datapath, "call", lambda _, method, *__: "" if "dump" in method else f"datapath {method}", points)


def _changes_rows(operation: Mapping[str, Any]) -> bool:
    """What chassis are to catch up with is counted whenever there is time: that is no step of any call."""
    return operation["op"] not in ("select", "wait") and operation.get("table") != "NB_Global"


def _wrap_namespaces(points: CrashPoints) -> None:
    real = namespaces._libc

    class Library:
        """The C library; mounting and unmounting count."""

        def mount(self, source: bytes, target: bytes, kind: bytes, flags: int, data: None) -> int:
            if flags == _MS_BIND:
                points.before("namespace: mount")
            return int(real.mount(source, target, kind, flags, data))

        def umount2(self, target: bytes, flags: int) -> int:
            points.before("namespace: unmount")
            return int(real.umount2(target, flags))

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    namespaces._libc = Library()  # type: ignore[assignment]
    unlink = Path.unlink

    def counted_unlink(self: Path, missing_ok: bool = False) -> None:
        if self.parent == namespaces.NETNS:
            points.before("namespace: remove the name")
        unlink(self, missing_ok)

    Path.unlink = counted_unlink  # type: ignore[method-assign]
    _wrap(namespaces, "inside_a_new_one", lambda: "namespace: unshare", points)
    _wrap(namespaces, "_make_marked_file", lambda *_: "namespace: make the file", points)
    _wrap(namespaces, "give_empty_file", lambda *_: "namespace: give the file", points)
    _wrap(namespaces, "name_the_present_one", lambda *_: "namespace: before its name", points)


__all__ = ["CrashingNode"]
