"""The loop: what it does with changes, with faults, and with others who change its target."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.base.errors import Failure
from weftwork.program.linux import Namespace, Sysctl
from weftwork.program.resource import Resource
from weftwork.reconciler.reconciler import Pace, Progress, Reconciler
from weftwork.seams.channel import ProgramChange
from weftwork.testing.memory_driver import MemoryDriver

QUICK = Pace(audit_s=0.02, audit_share=1.0, retry_first_s=0.001, retry_max_s=0.01)


def sysctl(scope: str, name: str, value: str = "1") -> Sysctl:
    return Sysctl(scope, name, value)


def whole(generation: int, *resources: Resource) -> ProgramChange:
    return ProgramChange(generation, True, frozenset(resources))


@asynccontextmanager
async def loop_over(driver: MemoryDriver, pace: Pace = QUICK) -> AsyncIterator[tuple[Reconciler, list[Progress]]]:
    heard: list[Progress] = []
    reconciler = Reconciler(driver, heard.append, pace)
    task = asyncio.create_task(reconciler.run())
    try:
        yield reconciler, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.001)


async def test_without_a_program_it_touches_nothing() -> None:
    driver = MemoryDriver()
    driver.content[sysctl("a", "x").key] = sysctl("a", "x")
    async with loop_over(driver):
        await asyncio.sleep(0.05)
    assert driver.observes == 0 and driver.writes == 0


async def test_a_change_costs_what_it_touches() -> None:
    driver = MemoryDriver()
    async with loop_over(driver, Pace(audit_s=60)) as (reconciler, _):
        reconciler.submit(whole(1, *(sysctl(f"ns{n}", "x") for n in range(200))))
        assert await reconciler.settle()
        writes, observes = driver.writes, driver.observes
        added, removed = frozenset({sysctl("ns7", "x", "2")}), frozenset({sysctl("ns7", "x")})
        reconciler.submit(ProgramChange(2, False, added, removed))
        assert await reconciler.settle()
        assert (driver.writes - writes, driver.observes - observes) == (1, 0)
        assert reconciler.progress == Progress(2, {})


async def test_an_older_generation_never_wins() -> None:
    driver = MemoryDriver()
    async with loop_over(driver) as (reconciler, _):
        reconciler.submit(whole(5, sysctl("a", "x", "new")))
        reconciler.submit(whole(4, sysctl("a", "x", "old")))
        assert await reconciler.settle()
        assert set(driver.content.values()) == {sysctl("a", "x", "new")}


async def test_a_restart_writes_nothing_when_all_is_in_place() -> None:
    driver = MemoryDriver()
    program = [Namespace("a", "us"), sysctl("a", "x")]
    driver.content = {resource.key: resource for resource in program}
    async with loop_over(driver) as (reconciler, _):
        reconciler.submit(whole(1, *program))
        assert await reconciler.settle()
    assert driver.writes == 0


async def test_what_somebody_else_changes_is_repaired() -> None:
    driver = MemoryDriver()
    async with loop_over(driver) as (reconciler, _):
        reconciler.submit(whole(1, sysctl("a", "x"), sysctl("b", "x")))
        assert await reconciler.settle()
        del driver.content[sysctl("a", "x").key]
        driver.content[sysctl("c", "stray").key] = sysctl("c", "stray")
        await until(lambda: set(driver.content.values()) == {sysctl("a", "x"), sysctl("b", "x")})


async def test_a_scope_under_suspicion_is_looked_at_before_the_audit_and_no_other() -> None:
    driver = MemoryDriver()
    async with loop_over(driver, Pace(audit_s=60)) as (reconciler, _):
        reconciler.submit(whole(1, sysctl("a", "x"), sysctl("b", "x")))
        assert await reconciler.settle()
        del driver.content[sysctl("a", "x").key], driver.content[sysctl("b", "x").key]
        reconciler.suspect(frozenset({"a", "not ours"}))
        await until(lambda: set(driver.content.values()) == {sysctl("a", "x")})
        reconciler.suspect(frozenset({"b"}))
        await until(lambda: set(driver.content.values()) == {sysctl("a", "x"), sysctl("b", "x")})


async def test_one_failing_scope_holds_up_nobody_else() -> None:
    broken = Failure("NETNS_MISSING", "no such namespace")
    driver = MemoryDriver(lambda resource: broken if resource.scope == "bad" else None)
    async with loop_over(driver, Pace(audit_s=60, retry_first_s=0.01)) as (reconciler, heard):
        reconciler.submit(whole(1, sysctl("bad", "x"), sysctl("good", "x")))
        assert await reconciler.settle()
        assert heard[-1] == Progress(1, {sysctl("bad", "x").key: broken})
        assert set(driver.content.values()) == {sysctl("good", "x")}
        driver.fault = lambda _: None
        await until(lambda: not reconciler.progress.failures)
        assert len(driver.content) == 2


async def test_a_target_out_of_reach_is_reported_and_comes_back() -> None:
    class Gone(MemoryDriver):
        away = True

        async def observe(self, scopes: frozenset[str] | None = None) -> frozenset[Resource]:
            if self.away:
                raise Failure("TARGET_UNREACHABLE", "away")
            return await super().observe(scopes)

    driver = Gone()
    async with loop_over(driver) as (reconciler, heard):
        reconciler.submit(whole(1, sysctl("a", "x")))
        await until(lambda: bool(heard))
        assert heard[-1].failures[("target", "")].code == "TARGET_UNREACHABLE"
        driver.away = False
        assert await reconciler.settle()
        assert len(driver.content) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(["change", "meddle", "fault", "heal"]), max_size=25))
def test_when_faults_stop_it_comes_to_rest(seed: int, events: list[str]) -> None:
    dice = random.Random(seed)

    def some() -> Resource:
        return sysctl(f"ns{dice.randrange(3)}", f"n{dice.randrange(4)}", str(dice.randrange(3)))

    async def history() -> None:
        driver = MemoryDriver()
        program: dict[tuple[str, ...], Resource] = {}
        async with loop_over(driver) as (reconciler, _):
            reconciler.submit(whole(1))
            for generation, event in enumerate(events, 2):
                match event:
                    case "change":
                        new = some()
                        old = program.pop(new.key, None)
                        removed = frozenset({old} if old else ())
                        keep = dice.random() < 0.7
                        if keep:
                            program[new.key] = new
                        added = frozenset({new} if keep else ())
                        reconciler.submit(ProgramChange(generation, False, added, removed))
                    case "meddle":
                        stray = some()
                        driver.content[stray.key] = stray
                    case "fault":
                        driver.fault = lambda _: Failure("X", "x") if dice.random() < 0.5 else None
                    case "heal":
                        driver.fault = lambda _: None
                await asyncio.sleep(0)
            driver.fault = lambda _: None
            await until(lambda: driver.content == program and not reconciler.progress.failures)

    asyncio.run(history())
