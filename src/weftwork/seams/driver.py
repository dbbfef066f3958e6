"""A driver makes one target equal to its program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from weftwork.base.errors import Failure
from weftwork.program.plan import Plan
from weftwork.program.resource import Key, Program


@dataclass(frozen=True, slots=True)
class Applied:
    """What did not work, by the key of the resource; everything else in the plan is in place."""

    failures: Mapping[Key, Failure] = field(default_factory=dict)


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
