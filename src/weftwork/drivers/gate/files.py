"""What agent and keeper tell each other, in a folder of their own: each file is renamed into its place whole."""

import os
from pathlib import Path

import msgspec

from weftwork.program.gate import Gate
from weftwork.rpc import programs

_GATE, _ANNOUNCED, _STATE, _PID = "gate", "announced.json", "state", "pid"


class GateFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def gate(self) -> Gate | None:
        try:
            (found,) = programs.decode((self.folder / _GATE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, Gate) else None

    def write_gate(self, gate: Gate | None) -> None:
        if gate is None:
            (self.folder / _GATE).unlink(missing_ok=True)
        else:
            self._write(_GATE, programs.encode((gate,)))

    def announced(self) -> dict[str, str]:
        """MACs by address."""
        try:
            return msgspec.json.decode((self.folder / _ANNOUNCED).read_bytes(), type=dict[str, str])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def write_announced(self, announced: dict[str, str]) -> None:
        self._write(_ANNOUNCED, msgspec.json.encode(announced))

    def state(self) -> str:
        """`active`, `standby`, or empty when nobody keeps the gate."""
        if not self.pid():
            return ""
        try:
            return (self.folder / _STATE).read_text()
        except FileNotFoundError:
            return ""

    def write_state(self, state: str) -> None:
        self._write(_STATE, state.encode())

    def pid(self) -> int:
        """Of the keeper; 0 for none."""
        try:
            pid = int((self.folder / _PID).read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return 0
        return pid if os.fsencode(self.folder) in words else 0

    def write_pid(self, pid: int) -> None:
        self._write(_PID, str(pid).encode())

    def _write(self, name: str, data: bytes) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.folder / f"{name}.new"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        beside.replace(self.folder / name)
