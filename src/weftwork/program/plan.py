"""A plan: ordered steps from what is there to what should be there."""

from dataclasses import dataclass

from weftwork.program.resource import Resource


@dataclass(frozen=True, slots=True)
class Create:
    new: Resource


@dataclass(frozen=True, slots=True)
class Replace:
    old: Resource
    new: Resource


@dataclass(frozen=True, slots=True)
class Delete:
    old: Resource


Step = Create | Replace | Delete
Plan = tuple[Step, ...]
