"""What is in the target and not yet in force: it is waited for beside the next rounds, and told in the order of rounds.

A target such as OVN's database is written in milliseconds, and its chassis follow in their own time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.program.resource import Key
from weftwork.seams.driver import InForce

OUTSTANDING_MAX = 64
"""Rounds that may be waited for; then the loop waits, and its next round does more at once."""
TARGET: Key = ("target", "")


@dataclass(frozen=True, slots=True)
class _Round:
    generation: int
    touched: frozenset[Key]
    in_force: InForce | None
    answer: asyncio.Task[Mapping[Key, Failure]]


class Settling:
    """`told` hears of every generation that is in force, or was tried. `late` is what is not in force though it was
    waited for: it is asked for again, ever more seldom."""

    def __init__(self, told: Callable[[int | None], None], *, retry_first_s: float, retry_max_s: float) -> None:
        self._told = told
        self._retry_first_s, self._retry_max_s = retry_first_s, retry_max_s
        self._rounds: deque[_Round] = deque()
        self._room = asyncio.Semaphore(OUTSTANDING_MAX)
        self._news = asyncio.Event()
        self._is_late = asyncio.Event()
        self._newest: InForce | None = None
        self.late: dict[Key, Failure] = {}

    @property
    def is_empty(self) -> bool:
        return not self._rounds

    async def add(
        self, generation: int, touched: frozenset[Key], lasting: frozenset[Key], in_force: InForce | None
    ) -> None:
        """A round that touched these, of which `lasting` are there now; waits while too many are waited for."""
        if in_force is None and self.is_empty:
            self._conclude(generation, touched, {})
            return
        await self._room.acquire()
        answer = asyncio.create_task(_ask(in_force, lasting), name="in force")
        self._rounds.append(_Round(generation, touched, in_force, answer))
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_in_order())
                tasks.create_task(self._ask_again())
        finally:
            for one in self._rounds:
                one.answer.cancel()

    async def _tell_in_order(self) -> None:
        while True:
            self._news.clear()
            while self._rounds:
                first = self._rounds[0]
                answer = await first.answer
                self._rounds.popleft()
                self._room.release()
                if first.in_force is not None and answer:
                    self._newest = first.in_force
                self._conclude(first.generation, first.touched, answer)
            await self._news.wait()

    async def _ask_again(self) -> None:
        wait_s = self._retry_first_s
        while True:
            await self._is_late.wait()
            await asyncio.sleep(wait_s)
            asked, newest = frozenset(self.late), self._newest
            answer = await _ask(newest, asked - {TARGET})
            if newest is self._newest:
                self._conclude(None, asked, answer)
            wait_s = min(self._retry_max_s, wait_s * 2) if self.late else self._retry_first_s

    def _conclude(self, generation: int | None, asked: Collection[Key], answer: Mapping[Key, Failure]) -> None:
        self.late = {key: why for key, why in self.late.items() if key not in asked} | dict(answer)
        if self.late:
            self._is_late.set()
        else:
            self._is_late.clear()
        self._told(generation)


async def _ask(in_force: InForce | None, keys: frozenset[Key]) -> Mapping[Key, Failure]:
    if in_force is None:
        return {}
    try:
        return await in_force(keys)
    except Failure as failure:
        return dict.fromkeys(keys or {TARGET}, failure)
