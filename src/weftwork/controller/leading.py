"""Only the leader of several servers publishes, and only its agent works; what it left, the next one takes over."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from weftwork.base.errors import Failure
from weftwork.program.plan import Plan
from weftwork.program.resource import Program
from weftwork.seams.driver import Applied, Driver
from weftwork.seams.lease import Leadership, Term

log = logging.getLogger(__name__)


class Worker(Protocol):
    """An agent that can be told to forget what it was told."""

    async def run(self) -> None: ...

    def stand_down(self) -> None: ...


class Publishing(Protocol):
    """What publishes in a term as the leader, until cancelled."""

    async def run(self, term: Term) -> None: ...


@dataclass(frozen=True, slots=True)
class Together:
    """Several that publish in the same term."""

    publishers: tuple[Publishing, ...]

    async def run(self, term: Term) -> None:
        async with asyncio.TaskGroup() as tasks:
            for one in self.publishers:
                tasks.create_task(one.run(term))


class Fence:
    """The term this process leads in, if it does."""

    def __init__(self) -> None:
        self.term: Term | None = None

    def is_open(self) -> bool:
        return self.term is not None and self.term.is_held()


class FencedDriver:
    """Applies while we lead: a process that was stopped for long finds its term over before it writes."""

    def __init__(self, driver: Driver, fence: Fence) -> None:
        self._driver = driver
        self._fence = fence

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        return await self._driver.observe(scopes)

    async def apply(self, plan: Plan) -> Applied:
        if not self._fence.is_open():
            raise Failure("NOT_LEADING", "another server looks after this target now")
        return await self._driver.apply(plan)


async def lead(leadership: Leadership, fence: Fence, publisher: Publishing, worker: Worker) -> None:
    """Until cancelled: wait for our turn, then publish until it is over."""
    while True:
        fence.term = term = await leadership.elected()
        log.info("this server leads, in term %d", term.number)
        try:
            await _work(term, publisher, worker)
        finally:
            fence.term = None
            with suppress(Failure):
                await term.resign()
        log.warning("this server no longer leads")


async def _work(term: Term, publisher: Publishing, worker: Worker) -> None:
    """Until the term is over. What the two raise is raised."""
    worker.stand_down()
    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(publisher.run(term)), tasks.create_task(worker.run())]
        await term.over()
        for task in working:
            task.cancel()
