"""Machine monitors as processes: started as nobody, found again by their name, and seen to end at once.

They are no part of the agent: it may end and come back, and finds them by what is written in their command line,
which is there from their first instant on. So none is ever lost.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIRST_UID = 2_000_000_000
"""Users of machine monitors, one each: beyond what systemd gives to services, containers and people."""
_STDERR_BYTES = 4096


def name_of(folder: Path, run: int) -> str:
    """In the command line: a QEMU of another deployment, or of another machine's tests, is not ours."""
    return f"weft:{folder}:{run}"


def confined(uid: int, groups: Sequence[int] = ()) -> list[str]:
    """What precedes a command line: no privilege, no way to get one, and a network without anything in it."""
    rights = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    rights += [f"--groups={','.join(map(str, groups))}"] if groups else ["--clear-groups"]
    return ["unshare", "--mount", "--ipc", "--uts", "--net", "--", *rights, "--"]


@dataclass(slots=True)
class Process:
    """Hold it by its descriptor: a number may become another process's."""

    pid: int
    run: int
    pidfd: int
    child: subprocess.Popen[bytes] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    errors: bytearray = field(default_factory=bytearray)

    def watch(self) -> None:
        """From now on `ended` is set the moment it ends. In the event loop's thread."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.pidfd, self._note_end)
        if self.child is not None and self.child.stderr is not None:
            os.set_blocking(self.child.stderr.fileno(), False)
            loop.add_reader(self.child.stderr.fileno(), self._take_errors)

    def _take_errors(self) -> None:
        assert self.child is not None and self.child.stderr is not None
        try:
            data = os.read(self.child.stderr.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self.child.stderr.fileno())
        self.errors += data
        del self.errors[:-_STDERR_BYTES]

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        if self.child is not None:
            self.child.wait()
            self._take_errors_left()
        self.ended.set()

    def _take_errors_left(self) -> None:
        assert self.child is not None
        if self.child.stderr is not None and not self.child.stderr.closed:
            self._take_errors()
            asyncio.get_running_loop().remove_reader(self.child.stderr.fileno())
            self.child.stderr.close()

    def let_go(self) -> None:
        """It goes on; nobody here watches it any more."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.pidfd)
        if self.child is not None and self.child.stderr is not None and not self.child.stderr.closed:
            loop.remove_reader(self.child.stderr.fileno())
            self.child.stderr.close()
        if self.child is not None and self.child.returncode is None:
            self.child.returncode = 0  # or its destructor would complain of what is meant
        os.close(self.pidfd)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


def spawn(command: Sequence[str], folder: Path, run: int, descriptors: Sequence[int]) -> Process:
    """In `folder`, with a session of its own, so that no signal to the agent's reaches it. Raises OSError."""
    child = subprocess.Popen(
        command,
        cwd=folder,
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), "LC_ALL": "C"},
    )
    return Process(child.pid, run, os.pidfd_open(child.pid), child)


def find(folder: Path, uid: int) -> tuple[Process, ...]:
    """What runs for the guest of this folder, as somebody started it before us, as the guest's own user or before it
    became that. A command line alone proves nothing: a process may write what it likes into its own. `uid` is 0 when
    that user is not known any more: then it is anybody's, so that none is lost."""
    found = []
    for pid, run in _matching(f"guest=weft:{folder}:"):
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            # Looked at again: the number is this process's as long as its descriptor is open.
            is_same = (pid, run) in _matching(f"guest=weft:{folder}:", pid)
            if is_same and (not uid or _real_uid(pid) in (0, uid)) and not _has_ended(pidfd):
                found.append(Process(pid, run, pidfd))
            else:
                os.close(pidfd)
    return tuple(found)


def _real_uid(pid: int) -> int:
    """Who owns /proc/PID is another thing: root, for what may not be looked into. Raises OSError."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))


def _has_ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def _matching(beginning: str, only: int | None = None) -> list[tuple[int, int]]:
    return [
        (pid, int(run))
        for pid in ([only] if only else _pids())
        for word in _words(pid)
        if word.startswith(beginning) and (run := word.removeprefix(beginning)).isdecimal()
    ]


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def _words(pid: int) -> list[str]:
    """Empty for kernel threads, for what ended, and for what ordinary users of this machine run."""
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
        if 0 < owner < FIRST_UID:
            return []
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
