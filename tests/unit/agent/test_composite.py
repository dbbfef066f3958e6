"""Several drivers as one target."""

from weftwork.agent.composite import CompositeDriver, Part
from weftwork.base.errors import Failure
from weftwork.planner.plan import make_plan
from weftwork.program.linux import Namespace, Sysctl
from weftwork.program.plan import Delete, Plan
from weftwork.seams.driver import Applied
from weftwork.testing.memory_driver import MemoryDriver

GROUND, ROOF = Namespace("a", "us"), Sysctl("a", "x", "1")


class Logged(MemoryDriver):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def apply(self, plan: Plan) -> Applied:
        for step in plan:
            sign, subject = ("-", step.old) if isinstance(step, Delete) else ("+", step.new)
            self.log.append(f"{sign}{type(subject).__name__}")
        return await super().apply(plan)


def composed() -> tuple[CompositeDriver, Logged, Logged, list[str]]:
    log: list[str] = []
    ground, roof = Logged(log), Logged(log)
    parts = (Part("ground", ground, (Namespace,)), Part("roof", roof, (Sysctl,)))
    return CompositeDriver(parts), ground, roof, log


async def test_what_stands_on_another_comes_after_it_and_goes_before_it() -> None:
    driver, _, _, log = composed()
    program = frozenset({GROUND, ROOF})
    await driver.apply(make_plan(desired=program, observed=frozenset()))
    assert await driver.observe() == program
    await driver.apply(make_plan(desired=frozenset(), observed=program))
    assert await driver.observe() == frozenset()
    assert log == ["+Namespace", "+Sysctl", "-Sysctl", "-Namespace"]


async def test_failures_of_all_parts_are_told() -> None:
    driver, ground, roof, _ = composed()
    broken = Failure("X", "x")
    ground.fault = roof.fault = lambda _: broken
    applied = await driver.apply(make_plan(desired=frozenset({GROUND, ROOF}), observed=frozenset()))
    assert applied.failures == {GROUND.key: broken, ROOF.key: broken}
