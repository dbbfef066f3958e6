"""What a guest may use of its host at most: a control group for each, where this machine lets us make some.

Version 2 when its controllers are there, else version 1, as machines have it that mix both.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_OURS = "weftwork-guests"
_PERIOD_US = 100_000
_OVERHEAD_MIB = 256
"""What a machine monitor takes beside its guest's memory: its own, translated code, what it has cached of disks."""
_EMULATOR_SHARE = 0.25
"""Of a processor, for the monitor's own threads."""
_TASKS = 128


@dataclass(frozen=True, slots=True)
class Limits:
    vcpus: int
    memory_mib: int

    @property
    def quota_us(self) -> int:
        return int((self.vcpus + _EMULATOR_SHARE) * _PERIOD_US)

    @property
    def memory_bytes(self) -> int:
        return (self.memory_mib + _OVERHEAD_MIB) << 20


class Cgroups:
    """`why_not` is empty when limits hold."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self.version, self.why_not = self._look()

    def _look(self) -> tuple[int, str]:
        unified = self._root / "cgroup.controllers"
        if unified.exists() and {"cpu", "memory", "pids"} <= set(unified.read_text().split()):
            return 2, "" if os.access(self._root, os.W_OK) else "the control groups of this machine are read-only"
        folders = [self._root / name for name in ("cpu", "memory", "pids")]
        if all((folder / "cgroup.procs").exists() for folder in folders):
            writable = all(os.access(folder, os.W_OK) for folder in folders)
            return 1, "" if writable else "the control groups of this machine are read-only"
        return 0, "the controllers cpu, memory and pids are not there"

    def hold(self, guest: str, pid: int, limits: Limits) -> str:
        """Put a process under limits; why that did not work, or nothing."""
        if self.why_not:
            return self.why_not
        try:
            self._put(guest, pid, limits)
        except FileNotFoundError:
            # Another driver of this machine swept them away before there was a process in them.
            return self._hold_again(guest, pid, limits)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    def _hold_again(self, guest: str, pid: int, limits: Limits) -> str:
        try:
            self._put(guest, pid, limits)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    def _put(self, guest: str, pid: int, limits: Limits) -> None:
        for folder, settings in self._groups(guest, limits):
            folder.mkdir(parents=True, exist_ok=True)
            for name, value in settings.items():
                (folder / name).write_text(value)
            (folder / "cgroup.procs").write_text(str(pid))

    def sweep(self) -> None:
        """Remove groups without a process: of guests that ended while nobody looked, whosever they were."""
        for place, _ in [] if self.why_not else self._groups("-", Limits(0, 0)):
            for folder in (*place.parent.glob("*/"), place.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def let_go(self, guest: str) -> None:
        """When its last process is gone."""
        if self.why_not:
            return
        for folder, _ in self._groups(guest, Limits(0, 0)):
            with contextlib.suppress(OSError):
                folder.rmdir()
            with contextlib.suppress(OSError):
                folder.parent.rmdir()

    def _groups(self, guest: str, limits: Limits) -> list[tuple[Path, dict[str, str]]]:
        if self.version == 2:
            self._hand_down()
            values = {"cpu.max": f"{limits.quota_us} {_PERIOD_US}", "memory.max": str(limits.memory_bytes)}
            return [(self._root / _OURS / guest, values | {"pids.max": str(_TASKS)})]
        cpu = {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": str(limits.quota_us)}
        return [
            (self._root / "cpu" / _OURS / guest, cpu),
            (self._root / "memory" / _OURS / guest, {"memory.limit_in_bytes": str(limits.memory_bytes)}),
            (self._root / "pids" / _OURS / guest, {"pids.max": str(_TASKS)}),
        ]

    def _hand_down(self) -> None:
        """Controllers are given from above to below (cgroups(7))."""
        with contextlib.suppress(OSError):
            (self._root / _OURS).mkdir(exist_ok=True)
        for folder in (self._root, self._root / _OURS):
            with contextlib.suppress(OSError):
                (folder / "cgroup.subtree_control").write_text("+cpu +memory +pids")
