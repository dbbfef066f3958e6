"""A machine of the lab: network and mount namespaces that a sleeping process holds, and what runs in them.

Its /run/netns is its own, so that its agent sees its own guests and nobody else's, and all of it ends with the process.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_HOLD = " && ".join(
    (
        "mount --make-rprivate /",
        "mount -t tmpfs tmpfs /run/netns",
        "ip link set lo up",
        "echo held",
        "exec sleep infinity",
    )
)
_END_S = 10.0


def run(*command: str, check: bool = True, timeout_s: float = 30.0) -> str:
    """The standard output of a command. RuntimeError with its own words when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Machine:
    """`pid` is of the process that holds the namespaces."""

    name: str
    pid: int

    @classmethod
    def boot(cls, name: str) -> "Machine":
        Path("/run/netns").mkdir(mode=0o755, parents=True, exist_ok=True)
        command = ("unshare", "--net", "--mount", "sh", "-c", _HOLD)
        holding = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert holding.stdout is not None
        said = holding.stdout.readline()
        if said.strip() != "held":
            raise RuntimeError(f"{name} does not start: {said}{holding.stdout.read()}")
        return cls(name, holding.pid)

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command, to be run in here."""
        return ("nsenter", "--target", str(self.pid), "--net", "--mount", "--", *command)

    def run(self, *command: str, check: bool = True, timeout_s: float = 30.0) -> str:
        return run(*self.inside(*command), check=check, timeout_s=timeout_s)

    def start(self, *command: str, log: Path, environment: Mapping[str, str] | None = None) -> int:
        """A process of its own, which outlives us; its number."""
        with log.open("ab") as out:
            started = subprocess.Popen(
                self.inside(*command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        return started.pid

    @property
    def is_up(self) -> bool:
        return is_running(self.pid)

    def power_off(self) -> None:
        """At once, as when the power fails: with everything that is in it."""
        end(self.pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Also one that nobody has waited for is over."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def end(pid: int, how: signal.Signals = signal.SIGTERM) -> None:
    """End a process, and wait until it is over."""
    with suppress(ProcessLookupError):
        os.kill(pid, how)
    deadline = time.monotonic() + _END_S
    while is_running(pid):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
