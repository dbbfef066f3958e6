"""Makes the guests of a host what its program says. The target is a folder of folders, and the processes they name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from weftwork.base import codes
from weftwork.base.errors import Failure
from weftwork.drivers.microvm.equipment import Equipment
from weftwork.drivers.microvm.home import Home
from weftwork.drivers.microvm.keeper import Keeper
from weftwork.drivers.microvm.process import FIRST_UID
from weftwork.drivers.microvm.settings import GuestSettings
from weftwork.program.guest import Guest
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program
from weftwork.seams.driver import Applied
from weftwork.seams.guest_images import GuestImages
from weftwork.seams.guests import GuestStatus

_AT_ONCE = 8
_NOT_BEGUN = -1
"""The run of a guest that could not be begun: no program asks for it, so the loop tries again."""


class MicrovmDriver:
    """A `Driver` of Guest resources, and a `GuestHost`. Lives in one event loop; `close` it there: guests go on.

    Failures: IMAGE_NOT_HERE, DISK_FAILED, LINK_MISSING, NETNS_MISSING, TAP_BUSY, GUEST_START_FAILED, and of the host
    KERNEL_MISSING, KERNEL_UNUSABLE, INIT_MISSING, VMM_MISSING, KVM_UNUSABLE.
    """

    def __init__(self, settings: GuestSettings, images: GuestImages) -> None:
        self._settings = settings
        self._images = images
        self._equipment: Equipment | None = None
        self._keepers: dict[str, Keeper] = {}
        self._changes: dict[asyncio.Event, dict[str, GuestStatus | None]] = {}
        self._begun = False

    # --- Driver ------------------------------------------------------------------------------------------------

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        self._begin()
        found = await asyncio.to_thread(self._read)
        return frozenset(
            _as_carried_out(guest, self._keepers.get(guest.id))
            for guest in found
            if scopes is None or guest.scope in scopes
        )

    async def apply(self, plan: Plan) -> Applied:
        self._begin()
        failures: dict[Key, Failure] = {}
        places = asyncio.Semaphore(_AT_ONCE)

        async def carry_out(step: Step) -> None:
            guest = step.old if isinstance(step, Delete) else step.new
            assert isinstance(guest, Guest), f"{guest.key} is not for the driver of guests"
            async with places:
                if failure := await self._carry_out(step):
                    failures[guest.key] = failure

        async with asyncio.TaskGroup() as tasks:
            for step in plan:
                tasks.create_task(carry_out(step))
        return Applied(failures)

    async def close(self) -> None:
        for keeper in self._keepers.values():
            await keeper.leave()
        self._keepers.clear()
        self._begun = False

    async def _carry_out(self, step: Step) -> Failure | None:
        match step:
            case Create(Guest() as new) | Replace(_, Guest() as new):
                return await self._put(new)
            case Delete(old):
                assert isinstance(old, Guest)
                return await self._remove(old.id)
        return None

    async def _put(self, guest: Guest) -> Failure | None:
        keeper = self._keepers.get(guest.id)
        if keeper is not None:
            return await keeper.wish(guest)
        home = Home(self._settings.folder / guest.id)
        home.make(home.uid or self._free_uid())
        home.write_guest(guest)
        return await self._keep(home, guest).tried()

    async def _remove(self, identity: str) -> Failure | None:
        keeper = self._keepers.pop(identity, None)
        if keeper is None:
            return None
        try:
            await keeper.remove()
        except OSError as error:
            return Failure("GUEST_REMOVE_FAILED", f"{error.filename}: {error.strerror}")
        self._tell(identity, None)
        return None

    # --- GuestHost ---------------------------------------------------------------------------------------------

    def status(self, guest: str) -> GuestStatus | None:
        keeper = self._keepers.get(guest)
        return keeper.status if keeper else None

    async def changes(self) -> AsyncIterator[tuple[str, GuestStatus | None]]:
        arrived = asyncio.Event()
        waiting: dict[str, GuestStatus | None] = {name: keeper.status for name, keeper in self._keepers.items()}
        self._changes[arrived] = waiting
        try:
            while True:
                while waiting:
                    name = next(iter(waiting))
                    yield name, waiting.pop(name)
                arrived.clear()
                await arrived.wait()
        finally:
            del self._changes[arrived]

    def console(self, guest: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        return self._keeper(guest).console.read(follow=follow)

    async def connect(self, guest: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._keeper(guest).connect()

    # --- the folder --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Take over what is there. Not in the constructor: that has no event loop yet."""
        if self._begun:
            return
        self._begun = True
        self._settings.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._equipment = self._equipment or Equipment(self._settings)
        self._equipment.cgroups.sweep()
        for home in self._homes():
            guest = home.guest()
            if guest is not None:
                self._keep(home, guest)
            else:
                # Nothing was started of what was not written.
                home.remove()

    def _keep(self, home: Home, guest: Guest) -> Keeper:
        assert self._equipment is not None
        keeper = Keeper(home, guest, self._images, self._equipment, self._settings, self._tell)
        self._keepers[guest.id] = keeper
        self._tell(guest.id, keeper.status)
        return keeper

    def _keeper(self, guest: str) -> Keeper:
        keeper = self._keepers.get(guest)
        if keeper is None:
            raise codes.GUEST_NOT_HERE.refusal(f"{guest}: there is no such VM on this host")
        return keeper

    def _tell(self, guest: str, status: GuestStatus | None) -> None:
        for arrived, waiting in self._changes.items():
            waiting.pop(guest, None)
            waiting[guest] = status
            arrived.set()

    def _read(self) -> list[Guest]:
        return [guest for home in self._homes() if (guest := home.guest())]

    def _homes(self) -> list[Home]:
        with contextlib.suppress(FileNotFoundError):
            return [Home(path) for path in sorted(self._settings.folder.iterdir()) if path.is_dir()]
        return []

    def _free_uid(self) -> int:
        taken = {home.uid for home in self._homes()}
        return next(uid for uid in range(FIRST_UID, FIRST_UID + len(taken) + 1) if uid not in taken)


def _as_carried_out(guest: Guest, keeper: Keeper | None) -> Guest:
    return replace(guest, run=_NOT_BEGUN) if keeper is None or keeper.failure else guest
