"""A driver makes one target equal to its program."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from weftwork.base.errors import Failure
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Key, Program

InForce = Callable[[Collection[Key]], Awaitable[Mapping[Key, Failure]]]
"""Waits, with a bound, until packets meet what was applied: which of these keys they do not meet yet, and why.

It may be asked again, also about what was applied before. Raises Failure when the target is out of reach."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What did not work, by the key of the resource; everything else in the plan is in place.

    With `in_force`, the target holds it, and whoever carries packets for the target follows by and by.
    """

    failures: Mapping[Key, Failure] = field(default_factory=dict)
    in_force: InForce | None = None


class Driver(Protocol):
    """Two methods. Observe reads the target, never memory, and sees only what carries our mark."""

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        """Everything of ours, or of the named scopes only. A scope that does not exist holds nothing."""
        ...

    async def apply(self, plan: Plan) -> Applied:
        """Carry out the steps, scope by scope. Half-applied is fine: we observe again.

        Raises Failure when the target as a whole is out of reach.
        """
        ...


async def carried_out(driver: Driver, plan: Plan) -> Mapping[Key, Failure]:
    """Apply, and wait until it is in force; what did not work."""
    applied = await driver.apply(plan)
    if applied.in_force is None:
        return applied.failures
    return {**applied.failures, **await applied.in_force(lasting(plan, applied.failures))}


def lasting(plan: Plan, failures: Collection[Key]) -> frozenset[Key]:
    """What the plan made, but for what failed."""
    return frozenset(
        step.new.key for step in plan if isinstance(step, Create | Replace) and step.new.key not in failures
    )


def touched(plan: Plan) -> frozenset[Key]:
    return frozenset((step.old if isinstance(step, Delete) else step.new).key for step in plan)
