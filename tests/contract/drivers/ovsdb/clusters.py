"""Three servers of one northbound, joined by raft over Unix sockets: killed, and started again."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from weftwork.drivers.ovn.private import NORTHBOUND_SCHEMA
from weftwork.drivers.ovsdb.endpoint import Endpoint

DATABASE = "OVN_Northbound"
WAIT_S = 20.0


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_S).stdout


@dataclass
class Cluster:
    folder: Path
    members: tuple[int, ...] = (1, 2, 3)
    _servers: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self) -> None:
        first, *others = self.members
        run("ovsdb-tool", "create-cluster", self._file(first), str(NORTHBOUND_SCHEMA), self._raft(first))
        self.start_member(first)
        for one in others:
            run("ovsdb-tool", "join-cluster", self._file(one), DATABASE, self._raft(one), self._raft(first))
            self.start_member(one)
        for one in self.members:
            run("ovsdb-client", "wait", self.endpoint(one), DATABASE, "connected")
        operation = '["OVN_Northbound",{"op":"insert","table":"NB_Global","row":{}}]'
        run("ovsdb-client", "transact", self.endpoint(self.leader()), operation)

    def start_member(self, one: int) -> None:
        flags = [f"--remote=punix:{self.folder}/{one}.sock", f"--unixctl={self.folder}/{one}.ctl", "--no-chdir"]
        log = f"--log-file={self.folder}/{one}.log"
        self._servers[one] = subprocess.Popen(
            ["ovsdb-server", *flags, log, self._file(one)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + WAIT_S
        while not Path(f"{self.folder}/{one}.sock").exists():
            assert time.monotonic() < deadline, "ovsdb-server does not start"
            time.sleep(0.01)

    def kill(self, one: int) -> None:
        server = self._servers.pop(one)
        os.kill(server.pid, signal.SIGKILL)
        server.wait(WAIT_S)
        Path(f"{self.folder}/{one}.sock").unlink(missing_ok=True)

    def stop(self) -> None:
        for one in tuple(self._servers):
            self.kill(one)

    def leader(self) -> int:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            for one in self._servers:
                if "Role: leader" in run("ovs-appctl", "-t", f"{self.folder}/{one}.ctl", "cluster/status", DATABASE):
                    return one
            time.sleep(0.05)
        raise AssertionError("the cluster has no leader")

    def endpoint(self, one: int) -> str:
        return f"unix:{self.folder}/{one}.sock"

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(Endpoint("unix", f"{self.folder}/{one}.sock") for one in self.members)

    def _file(self, one: int) -> str:
        return str(self.folder / f"{one}.db")

    def _raft(self, one: int) -> str:
        return f"unix:{self.folder}/{one}.raft"
