"""Make one target equal to its program, for the first time, after a change, and when somebody else changed it.

Large observes happen at the start and in a slow audit; between them the loop knows what it did, so a change costs
what it touches. Without a program it does nothing: an empty program would mean "delete everything".
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.planner.plan import make_plan
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Key, Program
from weftwork.reconciler.ledger import Ledger, differing
from weftwork.reconciler.settling import TARGET, Settling
from weftwork.seams.channel import ProgramChange
from weftwork.seams.driver import Applied, Driver, lasting, touched

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the loop looks and tries again."""

    audit_s: float = 10.0
    """A pause of this length, or of `audit_share` times the last audit's length if that is more, between audits."""
    audit_share: float = 20.0
    retry_first_s: float = 0.05
    retry_max_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The state after a round: everything up to `generation` was tried, `failures` does not work."""

    generation: int
    failures: Mapping[Key, Failure]


Around = Callable[[int, int], AbstractContextManager[None]]
"""What a round is done in that brings the target from one generation to another."""


def _in_nothing(tried: int, generation: int) -> AbstractContextManager[None]:
    return nullcontext()


class Reconciler:
    """One loop over one driver. `submit` from the event loop's thread only."""

    def __init__(
        self,
        driver: Driver,
        report: Callable[[Progress], None],
        pace: Pace = Pace(),
        around: Around = _in_nothing,
    ) -> None:
        self._driver = driver
        self._around = around
        self._report = report
        self._pace = pace
        self._desired: Ledger | None = None
        self._believed: Ledger | None = None
        self._term = 0
        self._generation = 0
        self._tried_generation = 0
        self._dirty: set[Key] = set()
        self._suspects: set[str] = set()
        self._failures: dict[Key, Failure] = {}
        self._attempts = 0
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._audit_due_at = 0.0
        self._driver_lock = asyncio.Lock()
        self._settling = Settling(self._conclude, retry_first_s=pace.retry_first_s, retry_max_s=pace.retry_max_s)

    def submit(self, change: ProgramChange) -> None:
        """Take a newer program; an older generation is ignored, and so is who led before."""
        if change.term < self._term or (change.term > self._term and not change.complete):
            return
        if change.generation < self._generation or (self._desired is None and not change.complete):
            return
        if change.complete or self._desired is None:
            self._replace_program(change.added)
        else:
            self._amend_program(change)
        self._term = change.term
        self._generation = change.generation
        self._settled.clear()
        self._wake.set()

    def _replace_program(self, program: Program) -> None:
        before = self._desired or Ledger()
        self._desired = Ledger(program)
        self._dirty |= differing(self._desired, before, self._desired.scopes | before.scopes)

    def _amend_program(self, change: ProgramChange) -> None:
        assert self._desired is not None
        for resource in change.removed:
            self._desired.drop(resource.key)
            self._dirty.add(resource.key)
        for resource in change.added:
            self._desired.put(resource)
            self._dirty.add(resource.key)

    def stand_down(self) -> None:
        """Forget the program and what was believed of the target, between two runs. What stands there stays."""
        self._desired = self._believed = None
        self._dirty.clear()
        self._suspects.clear()
        self._failures.clear()
        self._attempts = 0
        self._audit_due_at = self._retry_at = 0.0
        self._wake.clear()

    def suspect(self, scopes: frozenset[str]) -> None:
        """Somebody else changed something there: look now, and do not wait for the audit."""
        self._suspects |= scopes
        self._wake.set()

    @property
    def desired(self) -> Program:
        return frozenset(self._desired or ())

    @property
    def progress(self) -> Progress:
        return Progress(self._tried_generation, {**self._settling.late, **self._failures})

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        """Read the target now, beside the loop but not in the middle of a change."""
        async with self._driver_lock:
            return await self._driver.observe(scopes)

    async def settle(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything submitted was tried once."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settling.run())
            tasks.create_task(self._go_on())

    async def _go_on(self) -> None:
        while True:
            await self._wait_for_work()
            try:
                async with self._driver_lock:
                    with self._around(self._tried_generation, self._generation):
                        settling = await self._round()
                await settling
            except Failure as failure:
                log.warning("target out of reach: %s", failure)
                self._believed = None
                self._fail_later()
                self._report(Progress(self._tried_generation, {TARGET: failure}))

    def _fail_later(self) -> None:
        """Set the time of the next try: at once at first, then ever more seldom."""
        self._attempts += 1
        wait_s = min(self._pace.retry_max_s, self._pace.retry_first_s * 2 ** min(self._attempts - 1, 16))
        self._retry_at = asyncio.get_running_loop().time() + wait_s

    async def _wait_for_work(self) -> None:
        loop = asyncio.get_running_loop()
        if self._desired is None:
            await self._wake.wait()
        if self._believed is None and self._attempts:
            await asyncio.sleep(max(0.0, self._retry_at - loop.time()))
        elif self._believed is not None:
            due_at = min(self._audit_due_at, self._retry_at) if self._attempts else self._audit_due_at
            # Not wait_for: in Python 3.11 it can swallow a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due_at):
                    await self._wake.wait()
        self._wake.clear()

    async def _round(self) -> Awaitable[None]:
        """Everything that is to be done now: changes, what failed before if its time has come, an audit if due.

        What is answered must be awaited, and not while others wait for the driver: it lasts when the target is slow.
        """
        now = asyncio.get_running_loop().time()
        generation = self._generation
        changed, self._dirty = frozenset(self._dirty), set()
        suspects, self._suspects = frozenset(self._suspects), set()
        failures = self._failures
        if self._believed is None or now >= self._audit_due_at:
            changed |= await self._audit()
            failures = {}
        else:
            retry = frozenset(key[1] for key in failures) if now >= self._retry_at else frozenset()
            if suspects | retry:
                changed |= await self._look_again(suspects | retry)
            if retry:
                failures = {}
        plan = self._plan(changed)
        applied = await self._driver.apply(plan) if plan else Applied()
        self._remember(plan, applied.failures)
        self._failures = {key: why for key, why in failures.items() if key not in changed} | dict(applied.failures)
        if applied.failures:
            self._fail_later()
        elif not self._failures:
            self._attempts = 0
        return self._settling.add(generation, touched(plan), lasting(plan, applied.failures), applied.in_force)

    def _conclude(self, generation: int | None) -> None:
        """A round is in force, or as much of it as will be; None: something of an earlier one came into force."""
        if generation is not None:
            self._tried_generation = generation
        self._report(self.progress)
        if self._tried_generation == self._generation and not self._dirty and self._settling.is_empty:
            self._settled.set()

    async def _audit(self) -> frozenset[Key]:
        """Read the whole target; what differs from the program is to be done."""
        loop = asyncio.get_running_loop()
        assert self._desired is not None
        began = loop.time()
        found = Ledger(await self._driver.observe())
        if self._believed is not None:
            self._tell_drift(found)
        self._believed = found
        took = loop.time() - began
        self._audit_due_at = loop.time() + max(self._pace.audit_s, took * self._pace.audit_share)
        return differing(self._desired, found, self._desired.scopes | found.scopes)

    def _tell_drift(self, found: Ledger) -> None:
        assert self._believed is not None
        drifted = differing(self._believed, found, self._believed.scopes | found.scopes)
        if drifted:
            log.warning("%d resources changed behind our back, first %s", len(drifted), " ".join(min(drifted)))

    async def _look_again(self, scopes: frozenset[str]) -> frozenset[Key]:
        assert self._desired is not None and self._believed is not None
        found = await self._driver.observe(scopes)
        for scope in scopes:
            self._believed.replace_scope(scope, (resource for resource in found if resource.scope == scope))
        return differing(self._desired, self._believed, scopes)

    def _plan(self, keys: Iterable[Key]) -> Plan:
        assert self._desired is not None and self._believed is not None
        keys = frozenset(keys)
        return make_plan(desired=self._desired.of(keys), observed=self._believed.of(keys))

    def _remember(self, plan: Plan, failures: Mapping[Key, Failure]) -> None:
        """Believe what we did; a scope with a failure is read again before the next try."""
        assert self._believed is not None
        for step in plan:
            match step:
                case Create(new) | Replace(_, new):
                    if new.key not in failures:
                        self._believed.put(new)
                case Delete(old):
                    if old.key not in failures:
                        self._believed.drop(old.key)
