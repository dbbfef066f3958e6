"""OVN beside ours: northbounds, the same rows raw, and ovn-nbctl as an operator types it."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from weftwork.drivers.ovn.private import NORTHBOUND_SCHEMA
from weftwork.drivers.ovn.transaction import Operation
from weftwork.program.ovn import LogicalSwitch, LogicalSwitchPort, OvnResource, PortGroup, PortGroupMember
from weftwork.program.resource import Program
from weftwork.testing.guests import run as run_command

SCOPE, SWITCH, GROUP = "weft-1", "weft-1.subnet.bench", "weft_1.group.bench"
START_S = 10.0


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


def raw_s(path: Path, operations: Sequence[Operation]) -> float:
    """Seconds for one transaction of these operations, made before, over a bare socket."""
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
                took = time.perf_counter() - began
                assert not told["error"] and not any((one or {}).get("error") for one in told["result"])
                return took


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
