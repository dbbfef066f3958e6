"""A target in memory that obeys the driver's laws, and fails when told to: for the loops' own tests and simulations."""

from collections.abc import Callable

from weftwork.base.errors import Failure
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied


class MemoryDriver:
    """`content` is the target; anybody may change it behind the loop's back. `fault` decides, per step, what fails."""

    def __init__(self, fault: Callable[[Resource], Failure | None] = lambda _: None) -> None:
        self.content: dict[Key, Resource] = {}
        self.fault = fault
        self.observes = 0
        self.writes = 0

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        self.observes += 1
        return frozenset(found for found in self.content.values() if scopes is None or found.scope in scopes)

    async def apply(self, plan: Plan) -> Applied:
        failures: dict[Key, Failure] = {}
        for step in plan:
            resource = step.old if isinstance(step, Delete) else step.new
            failure = self.fault(resource)
            if failure is not None:
                failures[resource.key] = failure
                continue
            self.writes += 1
            match step:
                case Create(new) | Replace(_, new):
                    self.content[new.key] = new
                case Delete(old):
                    self.content.pop(old.key, None)
        return Applied(failures)
