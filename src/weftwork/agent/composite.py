"""Several drivers as one target: each takes the kinds of resource it knows, in the order given."""

from collections.abc import Sequence
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied, Driver


@dataclass(frozen=True, slots=True)
class Part:
    """A driver and the classes of resources it holds."""

    name: str
    driver: Driver
    kinds: tuple[type, ...]


class CompositeDriver:
    """Applies the parts one after the other: a later part may need what an earlier one made."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        found: frozenset[Resource] = frozenset()
        for part in self._parts:
            found |= await part.driver.observe(scopes)
        return found

    async def apply(self, plan: Plan) -> Applied:
        failures: dict[Key, Failure] = {}
        for part in self._parts:
            steps = tuple(step for step in plan if isinstance(_subject(step), part.kinds))
            if steps:
                failures.update((await part.driver.apply(steps)).failures)
        return Applied(failures)


def _subject(step: Step) -> Resource:
    match step:
        case Create(new) | Replace(_, new):
            return new
        case Delete(old):
            return old
