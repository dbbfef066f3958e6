"""Between the controller and the agents: programs go down, reports come up.

A program carries a generation, the revision of the intent it was compiled from; nobody goes back to an older one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from weftwork.base.errors import Failure
from weftwork.program.resource import Key, Program


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """What to add and remove to arrive at `generation`; with `complete`, `added` is the whole program.

    A resource that changes stands in both: its old value in `removed`, its new one in `added`. Of several servers,
    the one with the highest `term` is obeyed.
    """

    generation: int
    complete: bool
    added: Program
    removed: Program = frozenset()
    term: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """A host's BGP session: `state` in BGP's words, `Established` when it is well; `prefixes` are what came by it."""

    peer: str
    state: str
    prefixes: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything up to `generation` was tried; `failures` holds all that does not work now, by resource key."""

    host: str
    generation: int
    failures: Mapping[Key, Failure] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()


ReportSink = Callable[[Report], None]


class AgentLink(Protocol):
    """The controller's end of the line to one host."""

    @property
    def host(self) -> str: ...

    def publish(self, change: ProgramChange) -> None:
        """Hand over a change; changes are taken in order. Never blocks."""
        ...

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        """What the host holds right now, read from it. Raises Failure when it cannot be reached."""
        ...

    async def settle(self) -> bool:
        """Wait, with a bound, until the host has tried all it was told; False when it has not."""
        ...
