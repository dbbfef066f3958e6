"""OVN beside ours: northbounds, the same rows raw, and ovn-nbctl as an operator types it."""

import asyncio
import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from weftwork.drivers.ovn.private import NORTHBOUND_SCHEMA
from weftwork.drivers.ovn.transaction import Operation
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint
from weftwork.program.ovn import LogicalSwitch, LogicalSwitchPort, OvnResource, PortGroup, PortGroupMember
from weftwork.program.resource import Program
from weftwork.testing.guests import run as run_command

SCOPE, SWITCH, GROUP = "weft-1", "weft-1.subnet.bench", "weft_1.group.bench"
START_S = 10.0
_COUNT = {"NB_Global": ("nb_cfg",)}
_LOOK_AGAIN_S = 0.2


def ground() -> Program:
    """What the ports stand on."""
    return frozenset({LogicalSwitch(SCOPE, SWITCH), PortGroup(SCOPE, GROUP)})


def ports(first: int, number: int) -> Program:
    """Each with its address, port security and a group, as a program has them."""
    things: set[OvnResource] = set()
    for one in range(first, first + number):
        own = f"02:57:00:00:{one >> 8:02x}:{one & 255:02x} 10.0.{one >> 8}.{one & 255}"
        things.add(LogicalSwitchPort(SCOPE, SWITCH, f"port{one}", addresses=(own,), port_security=(own,)))
        things.add(PortGroupMember(SCOPE, GROUP, f"port{one}"))
    return frozenset(things)


@contextlib.contextmanager
def northbound(folder: Path) -> Iterator[Path]:
    """The socket of a database that nobody else uses: what it costs OVN to follow is not in these figures."""
    file, path = folder / "nb.db", folder / "nb.sock"
    run_command("ovsdb-tool", "create", str(file), str(NORTHBOUND_SCHEMA))
    command = ["ovsdb-server", f"--remote=punix:{path}", f"--unixctl={folder}/nb.ctl", "--no-chdir", str(file)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not path.exists():
            assert time.monotonic() < deadline, "ovsdb-server does not start"
            time.sleep(0.01)
        run_command("ovn-nbctl", f"--db=unix:{path}", "init")
        yield path
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def obliging(path: Path) -> Iterator[None]:
    """Somebody who says of every change at once that all chassis have it, for whoever waits to hear that."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_oblige(path, stop)), name="obliging")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _oblige(path: Path, stop: threading.Event) -> None:
    client, news, told = Client((Endpoint("unix", str(path)),), "OVN_Northbound", _COUNT), asyncio.Event(), -1
    client.listen(lambda table, uuid: news.set())
    while not stop.is_set():
        news.clear()
        (row,) = (await client.rows("NB_Global")).values()
        if row["nb_cfg"] != told:
            told = row["nb_cfg"]
            columns = {"sb_cfg": told, "hv_cfg": told}
            await client.transact([{"op": "update", "table": "NB_Global", "where": [], "row": columns}])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), _LOOK_AGAIN_S)
    await client.close()


def guests_ports(path: Path) -> int:
    """How many the database has."""
    where = [["type", "==", ""]]
    query = {"op": "select", "table": "Logical_Switch_Port", "where": where, "columns": ["_uuid"]}
    return len(_asked(path, [query])[0][0]["rows"])


def raw_s(path: Path, operations: Sequence[Operation]) -> float:
    """Seconds for one transaction of these operations, made before, over a bare socket."""
    told, took_s = _asked(path, operations)
    assert not any((one or {}).get("error") for one in told)
    return took_s


def _asked(path: Path, operations: Sequence[Operation]) -> tuple[list[Any], float]:
    message = json.dumps({"id": 1, "method": "transact", "params": ["OVN_Northbound", *operations]}).encode()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        began = time.perf_counter()
        link.sendall(message)
        answer = b""
        while True:
            answer += link.recv(1 << 20)
            with contextlib.suppress(ValueError):
                told = json.loads(answer)
                took_s = time.perf_counter() - began
                assert not told["error"], told["error"]
                return told["result"], took_s


def nbctl_s(path: Path, first: int, number: int) -> float:
    """Seconds for as many ports, one process each: the same row, and its group."""
    began = time.perf_counter()
    for one in range(first, first + number):
        name = f"hand{one}"
        own = f"02:58:00:00:{one >> 8:02x}:{one & 255:02x} 10.1.{one >> 8}.{one & 255}"
        words = ["lsp-add", SWITCH, name, "--", "lsp-set-addresses", name, own]
        words += ["--", "lsp-set-port-security", name, own, "--", "--id=@p", "get", "Logical_Switch_Port", name]
        words += ["--", "add", "Port_Group", GROUP, "ports", "@p"]
        run_command("ovn-nbctl", f"--db=unix:{path}", *words)
    return time.perf_counter() - began
