"""What is in the target and not yet in force: the loop goes on, and nothing is told to hold before it does."""

import asyncio
from collections.abc import Collection, Mapping
from functools import partial

from test_reconciler import loop_over, sysctl, until, whole

from weftwork.base.errors import Failure
from weftwork.program.plan import Plan
from weftwork.program.resource import Key
from weftwork.reconciler.reconciler import Pace, Progress
from weftwork.seams.channel import ProgramChange
from weftwork.seams.driver import Applied
from weftwork.testing.memory_driver import MemoryDriver

LATE = Failure("OVN_NOT_INSTALLED", "late")
PACE = Pace(audit_s=60, retry_first_s=0.001, retry_max_s=0.01)


class SlowTarget(MemoryDriver):
    """Written at once; every round comes into force when the test lets it, and fails for `late` scopes."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[asyncio.Event] = []
        self.late: set[str] = set()

    async def apply(self, plan: Plan) -> Applied:
        self.gates.append(asyncio.Event())
        return Applied((await super().apply(plan)).failures, partial(self._in_force, self.gates[-1]))

    async def _in_force(self, gate: asyncio.Event, keys: Collection[Key]) -> Mapping[Key, Failure]:
        await gate.wait()
        return {key: LATE for key in keys if key[1] in self.late}


def more(generation: int, scope: str) -> ProgramChange:
    return ProgramChange(generation, False, frozenset({sysctl(scope, "x")}))


async def test_the_next_change_is_written_while_the_one_before_is_not_in_force() -> None:
    driver = SlowTarget()
    async with loop_over(driver, PACE) as (reconciler, heard):
        reconciler.submit(whole(1, sysctl("a", "x")))
        await until(lambda: len(driver.content) == 1)
        reconciler.submit(more(2, "b"))
        await until(lambda: len(driver.content) == 2)
        assert heard == [], "nothing is in force"


async def test_generations_are_told_in_order_though_a_later_one_is_in_force_first() -> None:
    driver = SlowTarget()
    async with loop_over(driver, PACE) as (reconciler, heard):
        reconciler.submit(whole(1, sysctl("a", "x")))
        await until(lambda: len(driver.gates) == 1)
        reconciler.submit(more(2, "b"))
        await until(lambda: len(driver.gates) == 2)
        driver.gates[1].set()
        await asyncio.sleep(0)
        assert heard == []
        driver.gates[0].set()
        assert await reconciler.settle()
        assert [one.generation for one in heard] == [1, 2]


async def test_what_was_waited_for_in_vain_is_told_and_asked_for_until_it_is_in_force() -> None:
    driver = SlowTarget()
    driver.late = {"a"}
    async with loop_over(driver, PACE) as (reconciler, heard):
        reconciler.submit(whole(1, sysctl("a", "x"), sysctl("b", "x")))
        await until(lambda: len(driver.gates) == 1)
        driver.gates[0].set()
        await until(lambda: bool(heard))
        assert heard[0] == Progress(1, {sysctl("a", "x").key: LATE}), "the rows alone are not what was asked for"
        writes = driver.writes
        driver.late.clear()
        await until(lambda: not reconciler.progress.failures)
        assert driver.writes == writes, "what is written is not written again"


async def test_what_is_taken_away_is_waited_for_no_more() -> None:
    driver = SlowTarget()
    driver.late = {"a"}
    async with loop_over(driver, Pace(audit_s=60, retry_first_s=60)) as (reconciler, _):
        reconciler.submit(whole(1, sysctl("a", "x"), sysctl("b", "x")))
        await until(lambda: len(driver.gates) == 1)
        driver.gates[0].set()
        await until(lambda: bool(reconciler.progress.failures))
        reconciler.submit(ProgramChange(2, False, frozenset(), frozenset({sysctl("a", "x")})))
        await until(lambda: len(driver.gates) == 2)
        driver.gates[1].set()
        await until(lambda: reconciler.progress == Progress(2, {}))


async def test_so_many_rounds_are_waited_for_and_no_more() -> None:
    driver = SlowTarget()
    async with loop_over(driver, PACE) as (reconciler, _):
        reconciler.submit(whole(1))
        for generation in range(2, 102):
            reconciler.submit(more(generation, f"n{generation}"))
            for _ in range(6):
                await asyncio.sleep(0)
        assert len(driver.gates) <= 65
        for gate in driver.gates:
            gate.set()
        await until(lambda: len(driver.content) == 100)
