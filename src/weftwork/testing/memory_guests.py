"""A host of guests in memory: it boots at once, prints a line, and echoes whoever connects. For tests of the loops."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from weftwork.base import codes
from weftwork.base.errors import Failure
from weftwork.program.guest import Guest
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied
from weftwork.seams.guests import GuestState, GuestStatus

RUNS = (GuestState.BUILDING_FILESYSTEM, GuestState.BOOTING, GuestState.RUNNING)
STOPS = (GuestState.STOPPING, GuestState.STOPPED)


class MemoryGuests:
    """Implements `seams.driver.Driver` and `seams.guests.GuestHost`. `fault` decides, per guest, what fails."""

    def __init__(self, fault: Callable[[Resource], Failure | None] = lambda _: None) -> None:
        self.guests: dict[str, Guest] = {}
        self.fault = fault
        self.said: list[tuple[str, GuestState]] = []
        self._statuses: dict[str, GuestStatus] = {}
        self._consoles: dict[str, bytearray] = {}
        self._news: set[asyncio.Queue[str]] = set()

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        return frozenset(one for one in self.guests.values() if scopes is None or one.scope in scopes)

    async def apply(self, plan: Plan) -> Applied:
        failures: dict[Key, Failure] = {}
        for step in plan:
            resource = step.old if isinstance(step, Delete) else step.new
            assert isinstance(resource, Guest)
            if failure := self.fault(resource):
                failures[resource.key] = failure
                continue
            match step:
                case Delete():
                    self._forget(resource.id)
                case Create():
                    self._be(resource, RUNS if resource.running else ())
                case Replace(old, _) if isinstance(old, Guest):
                    self._change(old, resource)
        return Applied(failures)

    def die(self, guest: str, code: str, why: str) -> None:
        """Its machine ends by itself."""
        self._say(guest, replace(self._statuses[guest], state=GuestState.ERROR, code=code, why=why))

    def status(self, guest: str) -> GuestStatus | None:
        return self._statuses.get(guest)

    async def changes(self) -> AsyncIterator[tuple[str, GuestStatus | None]]:
        news: asyncio.Queue[str] = asyncio.Queue()
        self._news.add(news)
        try:
            for guest in list(self._statuses):
                yield guest, self._statuses.get(guest)
            while True:
                guest = await news.get()
                yield guest, self._statuses.get(guest)
        finally:
            self._news.discard(news)

    async def console(self, guest: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        if guest not in self._consoles:
            raise codes.GUEST_NOT_HERE.refusal(f"there is no guest {guest} here")
        yield bytes(self._consoles[guest])

    async def connect(self, guest: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        status = self._statuses.get(guest)
        if status is None:
            raise codes.GUEST_NOT_HERE.refusal(f"there is no guest {guest} here")
        if status.state is not GuestState.RUNNING:
            raise codes.GUEST_NOT_RUNNING.refusal(f"guest {guest} is {status.state.value}")
        ours, its = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=its)
        asyncio.get_running_loop().create_task(_echo(reader, writer))  # ends with the socket
        return await asyncio.open_connection(sock=ours)

    def _change(self, old: Guest, new: Guest) -> None:
        if new.running and (not old.running or new.run != old.run):
            self._be(new, (*(STOPS if old.running else ()), *RUNS[1:]))
        elif old.running and not new.running:
            self._be(new, STOPS)
        else:
            self._be(new, ())

    def _be(self, guest: Guest, states: Iterable[GuestState]) -> None:
        self.guests[guest.id] = guest
        for state in states:
            self._say(guest.id, GuestStatus(state, datetime.now(UTC), guest.run))
        if guest.running:
            self._consoles[guest.id] = bytearray(f"{guest.hostname} is up\n".encode())

    def _forget(self, guest: str) -> None:
        self.guests.pop(guest, None)
        self._consoles.pop(guest, None)
        self._say(guest, None)

    def _say(self, guest: str, status: GuestStatus | None) -> None:
        if status is None:
            self._statuses.pop(guest, None)
        else:
            self._statuses[guest] = status
            self.said.append((guest, status.state))
        for news in self._news:
            news.put_nowait(guest)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()
