"""One life of a guest, from its start, or from when we found it, to the end of its machine monitor's process."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.drivers.microvm import qemu, sockets
from weftwork.drivers.microvm.console import Console
from weftwork.drivers.microvm.control import Control, Report
from weftwork.drivers.microvm.home import Home
from weftwork.drivers.microvm.process import Process
from weftwork.drivers.microvm.qmp import Monitor
from weftwork.drivers.microvm.ways_in import WaysIn

_AGAIN_S = 0.5
_BEYOND_GRACE_S = 8.0
"""What a guest gets for ending the rest, after its own grace for its command."""


@dataclass(frozen=True, slots=True)
class End:
    """`clean`: it said so itself, with its file system written. `failure`: why it was ended, if not by wish."""

    clean: bool
    forced: bool
    failure: Failure | None
    exit_code: int | None
    errors: str


class LiveGuest:
    """Tells `changed` whenever one should look at `phase`: booting, running or stopping."""

    def __init__(self, home: Home, process: Process, console: Console, changed: Callable[[], None]) -> None:
        self.process = process
        self.ways = WaysIn(home, self._events_are_heard)
        self.phase = "booting"
        self.report = Report("starting")
        self._home = home
        self._console = console
        self._changed = changed
        self._control = Control(home.socket(qemu.CONTROL), self._take)
        self._look = asyncio.Event()
        self._qemu: Monitor | None = None
        self._stop_grace_s: float | None = None
        self._failure: Failure | None = None
        self._clean = self._forced = False

    @property
    def run(self) -> int:
        return self.process.run

    async def begun(self) -> None:
        """QEMU has taken its command line: it answers. Raises Failure GUEST_START_FAILED with what it said."""
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(self.process.ended.wait())
            monitor = tasks.create_task(self._hears())
            await asyncio.wait({ended, monitor}, return_when=asyncio.FIRST_COMPLETED)
            for task in (ended, monitor):
                task.cancel()
        if self.process.ended.is_set():
            raise Failure("GUEST_START_FAILED", self._errors() or "the machine monitor ended at once")

    async def _hears(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await sockets.connect(self._home.socket(qemu.MONITOR))
                greeting = await reader.readline()
                writer.close()
                if greeting:
                    return
            await asyncio.sleep(0.02)

    async def run_to_its_end(self, boot_s: float, *, ready: bool) -> End:
        """`ready`: it is known to have come up already."""
        if ready:
            self.phase = "running"
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._control.run()),
                tasks.create_task(self._capture(qemu.CONSOLE)),
                tasks.create_task(self._capture(qemu.LOG)),
                tasks.create_task(self._monitor()),
                tasks.create_task(self._note_end()),
            ]
            try:
                await self._go_on(boot_s)
            finally:
                self.ways.close()
                for task in beside:
                    task.cancel()
        return End(self._clean, self._forced, self._failure, self.report.exit_code, self._errors())

    def stop(self, grace_s: float) -> None:
        if self._stop_grace_s is None:
            self._stop_grace_s = grace_s
            self._look.set()

    def kill(self) -> None:
        self._forced = True
        self.process.kill()

    def _errors(self) -> str:
        lines = bytes(self.process.errors).decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix(f"{qemu.PROGRAM}: ") if lines else ""

    async def _go_on(self, boot_s: float) -> None:
        loop = asyncio.get_running_loop()
        boots_until = loop.time() + boot_s
        stops_until: float | None = None
        while not self.process.ended.is_set():
            if self._stop_grace_s is not None and stops_until is None:
                stops_until = loop.time() + self._stop_grace_s + _BEYOND_GRACE_S
                if self.phase == "booting" or not self._control.stop(self._stop_grace_s):
                    stops_until = loop.time()
                self._enter("stopping")
            until = stops_until or (boots_until if self.phase == "booting" else None)
            if until is not None and loop.time() >= until:
                if stops_until is None:
                    self._failure = Failure("GUEST_BOOT_TIMEOUT", f"its init did not come up within {boot_s:.0f} s")
                self.kill()
                await self.process.ended.wait()
                return
            # Not wait_for: in Python 3.11 it can swallow a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._look.wait()
            self._look.clear()

    def _take(self, report: Report) -> None:
        self.report = report
        match report.run:
            case "running" if self.phase == "booting":
                self._enter("running")
            case "stopping":
                self._enter("stopping")
            case "halted":
                self._clean = True
            case "failed":
                self._failure = Failure("GUEST_BOOT_FAILED", report.why)
            case _:
                self._changed()
        self._look.set()

    def _enter(self, phase: str) -> None:
        if self.phase != phase:
            self.phase = phase
            self._changed()

    async def _note_end(self) -> None:
        await self.process.ended.wait()
        self._look.set()

    async def _capture(self, name: str) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await sockets.connect(self._home.socket(name))
                try:
                    await self._console.take(reader)
                finally:
                    writer.close()
            await asyncio.sleep(_AGAIN_S)

    async def _monitor(self) -> None:
        while True:
            with contextlib.suppress(OSError, Failure):
                reader, writer = await sockets.connect(self._home.socket(qemu.MONITOR))
                monitor = Monitor(reader, writer, self._told)
                reading = asyncio.create_task(monitor.run())
                try:
                    await monitor.begin()
                    self._qemu = monitor
                    await reading
                finally:
                    self._qemu = None
                    reading.cancel()
            await asyncio.sleep(_AGAIN_S)

    async def _events_are_heard(self) -> None:
        """QEMU answers after it has told what happened before it was asked."""
        if self._qemu is not None:
            with contextlib.suppress(Failure):
                await self._qemu.ask("query-status")

    def _told(self, event: str, data: dict[str, object]) -> None:
        if event == "VSERPORT_CHANGE" and not data.get("open"):
            self.ways.note_closed(str(data.get("id", "")))
