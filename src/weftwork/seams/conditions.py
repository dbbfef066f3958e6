"""What the loops know about each resource, for the API to read. Derived from reports, never stored."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from weftwork.model.keys import ThingKey


class Status(Enum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(NamedTuple):
    """`type` is `Accepted`, `Programmed` or, of a peering, `Peered`; `observed_revision` is the intent's."""

    type: str
    status: Status
    reason: str
    message: str
    observed_revision: int
    last_transition_s: int


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """`conditions` is empty when the thing is gone, from the intent and from the hosts."""

    key: ThingKey
    conditions: tuple[Condition, ...]


class Conditions(Protocol):
    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        """The conditions of a thing whose intent was last written at `revision`."""
        ...

    def watch(self) -> AsyncIterator[ConditionChange]:
        """Every change from now on. A reader that is too slow gets the newest state of each thing, not each step."""
        ...
