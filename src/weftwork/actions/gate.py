"""Who may change a project at the same time in this process: ports with ports; everything else alone.

Compares in the store keep every change correct without it. It keeps a cascading delete or a new subnet from
losing to a stream of new ports again and again.
"""

import asyncio
from collections import deque

from weftwork.base.tenancy import ProjectKey


class Gates:
    """One gate per project that somebody is in or waits for."""

    def __init__(self) -> None:
        self._gates: dict[ProjectKey, _Gate] = {}

    async def enter(self, owner: ProjectKey, *, alone: bool) -> None:
        """Waits for one's turn; every enter that returns needs its `leave`."""
        gate = self._gates.get(owner)
        if gate is None:
            gate = self._gates[owner] = _Gate()
        try:
            await gate.enter(alone)
        finally:
            self._forget_idle(owner, gate)

    def leave(self, owner: ProjectKey, *, alone: bool) -> None:
        gate = self._gates[owner]
        gate.leave(alone)
        self._forget_idle(owner, gate)

    def _forget_idle(self, owner: ProjectKey, gate: "_Gate") -> None:
        if gate.is_idle:
            self._gates.pop(owner, None)


class _Gate:
    """First come, first served, so that nobody waits for ever."""

    __slots__ = ("_alone", "_inside", "_waiting")

    def __init__(self) -> None:
        self._inside = 0
        self._alone = False
        self._waiting: deque[tuple[asyncio.Future[None], bool]] = deque()

    @property
    def is_idle(self) -> bool:
        return not self._inside and not self._waiting

    async def enter(self, alone: bool) -> None:
        if not self._waiting and self._admits(alone):
            self._let_in(alone)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, alone))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(alone)
            else:
                self._admit_waiting()
            raise

    def leave(self, alone: bool) -> None:
        self._inside -= 1
        self._alone = self._alone and not alone
        self._admit_waiting()

    def _admits(self, alone: bool) -> bool:
        return not self._alone and not (alone and self._inside)

    def _let_in(self, alone: bool) -> None:
        self._inside += 1
        self._alone = alone

    def _admit_waiting(self) -> None:
        while self._waiting:
            turn, alone = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self._admits(alone):
                self._waiting.popleft()
                self._let_in(alone)
                turn.set_result(None)
            else:
                return
