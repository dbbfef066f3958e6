"""Several drivers as one target: each takes the kinds of resource it knows, in the order given."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied, Driver, carried_out


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
        """The first part gets its steps in one piece. What stands on it goes before it, and comes after it when it is
        in force: a device that is plugged in before the rules of its port would be without them."""
        first, *later = self._parts
        failures: dict[Key, Failure] = {}
        for part in reversed(later):
            failures |= await _carry_out(part, (step for step in plan if isinstance(step, Delete)))
        stand_on_it = [step for step in plan if not isinstance(step, Delete) and not _is_of(first, step)]
        if not stand_on_it and (ground := _steps_of(first, plan)):
            applied = await first.driver.apply(ground)
            return Applied({**failures, **applied.failures}, applied.in_force)
        failures |= await _carry_out(first, plan)
        for part in later:
            failures |= await _carry_out(part, stand_on_it)
        return Applied(failures)


async def _carry_out(part: Part, steps: Iterable[Step]) -> Mapping[Key, Failure]:
    mine = _steps_of(part, steps)
    return await carried_out(part.driver, mine) if mine else {}


def _steps_of(part: Part, steps: Iterable[Step]) -> Plan:
    return tuple(step for step in steps if _is_of(part, step))


def _is_of(part: Part, step: Step) -> bool:
    return isinstance(_subject(step), part.kinds)


def _subject(step: Step) -> Resource:
    match step:
        case Create(new) | Replace(_, new):
            return new
        case Delete(old):
            return old
