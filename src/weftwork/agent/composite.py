"""Several drivers as one target: each takes the kinds of resource it knows, in the order given."""

from collections.abc import Iterable, Mapping, Sequence
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
    """A later part may stand on what an earlier one made."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        found: frozenset[Resource] = frozenset()
        for part in self._parts:
            found |= await part.driver.observe(scopes)
        return found

    async def apply(self, plan: Plan) -> Applied:
        """The first part gets its steps in one piece. What stands on it goes before it and comes after it."""
        first, *later = self._parts
        failures: dict[Key, Failure] = {}
        for part in reversed(later):
            failures |= await _carry_out(part, (step for step in plan if isinstance(step, Delete)))
        failures |= await _carry_out(first, plan)
        for part in later:
            failures |= await _carry_out(part, (step for step in plan if not isinstance(step, Delete)))
        return Applied(failures)


async def _carry_out(part: Part, steps: Iterable[Step]) -> Mapping[Key, Failure]:
    mine = tuple(step for step in steps if isinstance(_subject(step), part.kinds))
    return (await part.driver.apply(mine)).failures if mine else {}


def _subject(step: Step) -> Resource:
    match step:
        case Create(new) | Replace(_, new):
            return new
        case Delete(old):
            return old
