"""Keeps a keeper for the gate that the program speaks of. The process is the resource: dead, it is missing."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from weftwork.base.addresses import Mac
from weftwork.base.errors import Failure
from weftwork.drivers.gate.files import GateFiles
from weftwork.program.gate import Announced, Gate
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied

_ENDS_WITHIN_S = 2.0


class GateDriver:
    """`command` starts a keeper, with its folder as the last word. Failure GATE_NOT_KEPT."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self._files = GateFiles(folder.absolute())
        self._command = tuple(command)
        self._started: subprocess.Popen[bytes] | None = None

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        if scopes is not None and "" not in scopes:
            return frozenset()
        self._reap()
        gate = self._files.gate() if self._files.pid() else None
        announced = (Announced("", IPv4Address(one), Mac(mac)) for one, mac in self._files.announced().items())
        return frozenset((*announced, *((gate,) if gate else ())))

    async def apply(self, plan: Plan) -> Applied:
        failures: dict[Key, Failure] = {}
        announced = before = self._files.announced()
        for step in plan:
            subject: Resource = step.old if isinstance(step, Delete) else step.new
            if isinstance(subject, Announced):
                announced = {key: mac for key, mac in announced.items() if key != str(subject.address)}
                if not isinstance(step, Delete):
                    announced[str(subject.address)] = subject.mac
        if announced != before:
            self._files.write_announced(announced)
        for step in plan:
            match step:
                case Create(Gate() as gate) | Replace(_, Gate() as gate):
                    try:
                        await asyncio.to_thread(self._start, gate)
                    except OSError as error:
                        failures[gate.key] = Failure("GATE_NOT_KEPT", f"no keeper of the gate: {error}")
                case Delete(Gate()):
                    await asyncio.to_thread(self._stop)
                    self._files.write_gate(None)
        return Applied(failures)

    def _start(self, gate: Gate) -> None:
        self._stop()
        self._files.write_gate(gate)
        with (self._files.folder / "keeper.log").open("ab") as out:
            self._started = subprocess.Popen(
                (*self._command, str(self._files.folder)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._files.write_pid(self._started.pid)

    def _stop(self) -> None:
        pid = self._files.pid()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while self._files.pid() and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        if self._files.pid():
            os.kill(pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        if self._started is not None and self._started.poll() is not None:
            self._started = None


def keeper_command() -> tuple[str, ...]:
    return (sys.executable, "-m", "weftwork.apps.gatekeeper")
