"""Keeps one guest as its program says: starts and stops it, takes it over from an agent before us, tells how it is."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from weftwork.base import codes
from weftwork.base.errors import Failure
from weftwork.drivers.microvm import process
from weftwork.drivers.microvm.cgroups import Limits
from weftwork.drivers.microvm.console import Console
from weftwork.drivers.microvm.equipment import Equipment
from weftwork.drivers.microvm.home import Home, Life
from weftwork.drivers.microvm.life import End, LiveGuest
from weftwork.drivers.microvm.settings import GuestSettings
from weftwork.drivers.microvm.start import start
from weftwork.drivers.microvm.ways_in import Stream
from weftwork.program.guest import Guest
from weftwork.seams.guest_images import GuestImages
from weftwork.seams.guests import GuestState, GuestStatus

log = logging.getLogger(__name__)

_PHASES = {"booting": GuestState.BOOTING, "running": GuestState.RUNNING, "stopping": GuestState.STOPPING}
_CONSOLE_LINES = 3


class Keeper:
    """One task per guest, and the only one that touches its folder."""

    def __init__(
        self,
        home: Home,
        guest: Guest,
        images: GuestImages,
        equipment: Equipment,
        settings: GuestSettings,
        told: Callable[[str, GuestStatus], None],
    ) -> None:
        self._home = home
        self._wanted = guest
        self._images = images
        self._equipment = equipment
        self._settings = settings
        self._told = told
        self._life = home.life()
        self._live: LiveGuest | None = None
        self._wish = asyncio.Event()
        self._tried: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._wait_s = 0.0
        self.console = Console(home.folder)
        self.failure: Failure | None = None
        self.status = GuestStatus(GuestState.STOPPED, datetime.now(UTC), guest.run)
        self._task = asyncio.create_task(self._run(), name=f"guest {home.id}")

    @property
    def guest(self) -> Guest:
        return self._wanted

    async def wish(self, guest: Guest) -> Failure | None:
        """Have it so from now on; what kept it from beginning."""
        before = self._wanted
        if guest.image != before.image:
            await self._rebuild(guest)
        self._home.write_guest(guest)
        self._wanted = guest
        return await self.tried()

    async def tried(self) -> Failure | None:
        """Once what is wished for was begun, or could not be."""
        if self._tried.done():
            self._tried = asyncio.get_running_loop().create_future()
        self._wish.set()
        return await asyncio.shield(self._tried)

    async def _rebuild(self, guest: Guest) -> None:
        """Another image is another disk."""
        await self._end_process()
        self._home.drop_disk()

    async def connect(self) -> Stream:
        if self._live is None or self._live.phase != "running":
            raise codes.GUEST_NOT_RUNNING.refusal(f"it is {self.status.state.value}")
        return await self._live.ways.connect()

    async def leave(self) -> None:
        """It goes on without us."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._live is not None:
            self._live.process.let_go()
        self.console.end()

    async def remove(self) -> None:
        """Nothing is left of it."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._end_process()
        self.console.end()
        self._equipment.cgroups.let_go(self._home.id)
        await asyncio.to_thread(self._home.remove)

    async def _end_process(self) -> None:
        if self._live is not None:
            self._live.kill()
            await self._live.process.ended.wait()
            return
        for found in await asyncio.to_thread(process.find, self._home.folder, self._home.uid):
            found.watch()
            found.kill()
            await found.ended.wait()
            found.let_go()

    # --- the task ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._take_over()
            while True:
                if not self._is_due():
                    await self._have_a_disk()
                    await self._wait_for_a_wish(None)
                elif not await self._try_to_start():
                    await self._wait_for_a_wish(self._wait_s or None)
        except Exception as error:
            # Nobody awaits this task before the guest goes: what it dies of must be seen.
            log.exception("the keeper of guest %s failed", self._home.id)
            self.failure = Failure("GUEST_START_FAILED", f"a fault of ours: {error!r}")
            self._show(GuestState.ERROR, self.failure)
            self._answer(self.failure)

    def _is_due(self) -> bool:
        wanted, life = self._wanted, self._life
        return wanted.running and (life is None or life.run != wanted.run or life.asked or not life.over)

    def _answer(self, failure: Failure | None) -> None:
        self.failure = failure
        if not self._tried.done():
            self._tried.set_result(failure)

    async def _wait_for_a_wish(self, at_most_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._wish.wait()
        self._wish.clear()

    async def _have_a_disk(self) -> None:
        """Also of a guest that was never started."""
        failure = None
        if not self._home.disk.exists():
            try:
                image = self._images.find(self._wanted.image)
                await asyncio.to_thread(self._home.make_disk, image, self._wanted.disk_mib)
            except Failure as error:
                failure = error
                self._show(GuestState.ERROR, error)
        self._answer(failure)

    async def _take_over(self) -> None:
        """What an agent before us left: a process that goes on, or one that ended while nobody looked."""
        found = await asyncio.to_thread(process.find, self._home.folder, self._home.uid)
        newest = max(found, key=lambda one: one.run, default=None)
        for one in found:
            one.watch()
            if one is not newest:
                one.kill()
        life = self._life
        if newest is not None:
            ready = life is not None and life.run == newest.run and life.ready_at > 0 and not life.ended_at
            if life is None or life.run != newest.run or life.ended_at:
                self._note(Life(newest.run, time.time()))
            await self._live_on(newest, ready=ready)
        elif life is not None and not life.ended_at:
            self._conclude(End(False, False, None, None, "the machine monitor ended while nobody looked"), asked=False)
        elif life is not None:
            self._show_end(life)

    async def _try_to_start(self) -> bool:
        """False: it is to be tried again, after `_wait_s` or when it is wished for once more."""
        wanted = self._wanted
        restarts = self._restarts_of(wanted.run)
        try:
            if not self._home.disk.exists():
                self._show(GuestState.BUILDING_FILESYSTEM)
            image = self._images.find(wanted.image)
            started = await start(wanted, self._home, image, self._equipment)
        except Failure as failure:
            self._wait_s = 0.0
            self._show(GuestState.ERROR, failure)
            self._answer(failure)
            return False
        started.watch()
        self._note(Life(wanted.run, time.time(), restarts=restarts))
        return await self._live_on(started, ready=False)

    def _restarts_of(self, run: int) -> int:
        life = self._life
        return life.restarts + 1 if life is not None and life.run == run and not life.asked else 0

    async def _live_on(self, found: process.Process, *, ready: bool) -> bool:
        self._hold(found)
        self._live = LiveGuest(self._home, found, self.console, self._look)
        self._show_phase()
        if not ready:
            try:
                await self._live.begun()
            except Failure as failure:
                self._answer(failure)
                return self._end_of_life(End(False, False, failure, None, ""))
        self._answer(None)
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(self._obey_wishes(self._live))
            try:
                end = await self._live.run_to_its_end(self._settings.boot_s, ready=ready)
            finally:
                watcher.cancel()
        return self._end_of_life(end)

    def _hold(self, found: process.Process) -> None:
        """Also one that we took over: the agent before us may have ended between its start and its limits."""
        limits = Limits(self._wanted.vcpus, self._wanted.memory_mib)
        if why_not := self._equipment.cgroups.hold(self._home.id, found.pid, limits):
            log.warning("guest %s has no limits: %s", self._home.id, why_not)

    def _end_of_life(self, end: End) -> bool:
        assert self._live is not None
        asked = not self._wanted.running or self._wanted.run != self._live.run
        self._live.process.let_go()
        self._live = None
        self._equipment.cgroups.let_go(self._home.id)
        self._home.forget_secrets()
        return self._conclude(end, asked=asked)

    async def _obey_wishes(self, live: LiveGuest) -> None:
        while True:
            if not self._wanted.running or self._wanted.run != live.run:
                live.stop(self._settings.stop_grace_s)
            self._answer(None)
            await self._wait_for_a_wish(None)

    # --- what is told ------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Something of the live guest changed."""
        if self._live is None or self._life is None:
            return
        if self._live.phase == "running" and not self._life.ready_at:
            self._home.forget_secrets()  # first: who takes over one that was ready looks for none
            self._note(replace(self._life, ready_at=time.time()))
        self._show_phase()

    def _show_phase(self) -> None:
        assert self._live is not None
        self._show(_PHASES[self._live.phase], exit_code=self._live.report.exit_code, pid=self._live.process.pid)

    def _conclude(self, end: End, *, asked: bool) -> bool:
        """Write down how it ended; whether it is to be looked at again at once."""
        assert self._life is not None
        failure = end.failure or (None if end.clean or asked else self._crash(end))
        if asked and end.forced and failure is None:
            failure = Failure("GUEST_STOP_FORCED", "it did not end by itself in time")
        policy = self._wanted.restart
        again = not asked and (policy == "always" or (policy == "on-failure" and failure is not None))
        life = replace(
            self._life,
            ended_at=time.time(),
            over=not again,
            asked=asked,
            code=failure.code if failure else "",
            why=failure.message if failure else "",
            exit_code=end.exit_code,
        )
        self._note(life)
        self._show_end(life)
        self._wait_s = min(self._settings.restart_first_s * 2 ** min(life.restarts, 16), self._settings.restart_max_s)
        return asked or not again

    def _crash(self, end: End) -> Failure:
        said = end.errors or " / ".join(self.console.tail(_CONSOLE_LINES)) or "without a word"
        return Failure("GUEST_CRASHED", f"it ended and had not said that it would: {said}")

    def _show_end(self, life: Life) -> None:
        failed = life.code and not life.asked
        state = GuestState.ERROR if failed else GuestState.STOPPED
        self._show(state, Failure(life.code, life.why) if life.code else None, exit_code=life.exit_code)

    def _show(
        self, state: GuestState, why: Failure | None = None, *, exit_code: int | None = None, pid: int | None = None
    ) -> None:
        life = self._life
        status = GuestStatus(
            state=state,
            since=self.status.since if state == self.status.state else datetime.now(UTC),
            run=self._live.run if self._live else self._wanted.run,
            pid=pid,
            exit_code=exit_code,
            code=why.code if why else "",
            why=why.message if why else "",
            restarts=life.restarts if life else 0,
        )
        if status != self.status:
            self.status = status
            self._told(self._home.id, status)

    def _note(self, life: Life) -> None:
        self._life = life
        self._home.write_life(life)
