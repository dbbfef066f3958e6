"""The daemons of one host, in a mount namespace of their own: their /run/netns holds what we show them, and their
sockets are reached through it. All that is theirs ends with them.

They are no children of ours for long: an agent that comes back finds them by the process that holds the namespace.
"""

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from weftwork.base.errors import Failure

BINARIES = Path("/usr/lib/frr")
ORDER = ("zebra", "bfdd", "bgpd")
_HOLD = " && ".join(
    (
        "mount --make-rprivate /",
        "mkdir -p /run/netns /run/frr",
        "mount -t tmpfs -o mode=0755 tmpfs /run/netns",
        "mount -t tmpfs -o mode=0755 tmpfs /run/frr",
        "chown frr:frr /run/frr",
        "echo held",
        "exec sleep infinity",
    )
)
_START_S = 10.0
_RECEIVE_BUFFER = "90000000"


class Daemons:
    """`folder` is where the number of the holding process is kept."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "holder"
        self._held: subprocess.Popen[bytes] | None = None

    @property
    def holder(self) -> int:
        """0 when nobody holds the namespace."""
        try:
            pid, born = self._file.read_text().split()
        except (OSError, ValueError):
            return 0
        return int(pid) if _born(int(pid)) == born else 0

    def path(self, name: str) -> Path:
        """A file in the daemons' own folder, as we see it."""
        return Path(f"/proc/{self.holder}/root/run/frr/{name}")

    def shown(self) -> Path:
        """Where the namespaces are that they see."""
        return Path(f"/proc/{self.holder}/root/run/netns")

    def pid(self, name: str) -> int:
        """Of a daemon that runs; 0 for one that does not."""
        holder = self.holder
        if not holder:
            return 0
        try:
            pid = int(self.path(f"{name}.pid").read_text())
            mine = Path(f"/proc/{pid}/ns/mnt").readlink() == Path(f"/proc/{holder}/ns/mnt").readlink()
        except (OSError, ValueError):
            return 0
        return pid if mine and _born(pid) else 0

    async def hold(self) -> None:
        """Failure FRR_NOT_INSTALLED, FRR_START."""
        if self.holder:
            return
        missing = [one for one in ORDER if not (BINARIES / one).exists()]
        if missing:
            raise Failure("FRR_NOT_INSTALLED", f"{BINARIES} has no {', '.join(missing)}; install the package frr")
        pid = await asyncio.to_thread(self._begin)
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.write_text(f"{pid} {_born(pid)}")

    def _begin(self) -> int:
        """By no means of the event loop: it would take its children with it when it ends."""
        self._held = subprocess.Popen(
            ("unshare", "--mount", "sh", "-c", _HOLD),  # noqa: S607 - found like every other tool
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        assert self._held.stdout is not None
        with self._held.stdout as out:
            if out.readline().strip() != b"held":
                raise Failure("FRR_START", "no mount namespace for the routing daemons")
        return self._held.pid

    async def start(self, name: str, *arguments: str) -> None:
        """Returns when the daemon is ready. Failure FRR_START."""
        if self.pid(name):
            return
        where = ("nsenter", "--target", str(self.holder), "--mount", "--")
        process = await asyncio.create_subprocess_exec(
            *where,
            *(str(BINARIES / name), "-d", "-A", "127.0.0.1", "-P", "0", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
        )
        async with asyncio.timeout(_START_S):
            failed = await process.wait()
        if failed or not self.pid(name):
            raise Failure("FRR_START", f"{name} does not start: {self._last_words(name)}")

    async def start_zebra(self) -> None:
        """Returns when others can connect: one that cannot tries again after ten seconds."""
        if self.pid("zebra"):
            return
        self.path("zserv.api").unlink(missing_ok=True)
        await self.start("zebra", "-n", "-f", "/dev/null", "-s", _RECEIVE_BUFFER, *_log("zebra"))
        async with asyncio.timeout(_START_S):
            while not self.path("zserv.api").exists():  # noqa: ASYNC110 - zebra tells nobody
                await asyncio.sleep(0.005)

    async def start_bfdd(self) -> None:
        await self.start("bfdd", "-f", "/dev/null", *_log("bfdd"))

    async def start_bgpd(self, configuration: str) -> None:
        place = self.path("bgpd.conf")
        place.write_text(configuration)
        place.chmod(0o644)
        await self.start("bgpd", "-f", "/run/frr/bgpd.conf", *_log("bgpd"))

    async def kill(self, *names: str) -> None:
        """At once, in that order: what a daemon would tidy up at its end stays in the kernel."""
        for name in names:
            pid = self.pid(name)
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                while _born(pid):  # noqa: ASYNC110 - it is no child of ours
                    await asyncio.sleep(0.005)

    async def end(self) -> None:
        """zebra first: bgpd's end would have it empty the tables."""
        await self.kill(*ORDER)
        holder = self.holder
        if holder:
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
            if self._held is not None:
                await asyncio.to_thread(self._held.wait)
                self._held = None
        self._file.unlink(missing_ok=True)

    def _last_words(self, name: str) -> str:
        try:
            return self.path(f"{name}.log").read_text(errors="replace").strip().rpartition("\n")[2]
        except OSError:
            return "it says nothing"


def _log(name: str) -> tuple[str, ...]:
    return ("--log", f"file:/run/frr/{name}.log", "--log-level", "warnings")


def _born(pid: int) -> str:
    """When the process began, in the kernel's ticks; empty when it is over."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else rest[18]
