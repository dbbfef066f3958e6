"""What is wrong with a change of a program, and the packet that proves it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from weftwork.program.resource import Program
from weftwork.verifier.packet import Probe, Verdict

Mapped = Callable[[Callable[[str], "tuple[Violation, ...]"], Sequence[str]], Iterable["tuple[Violation, ...]"]]
"""The answers of a function to several questions, in their order: like `map`, but perhaps not one after the other."""


class Change(Protocol):
    """What comes into a program and what leaves it, as the compiler's Delta has it."""

    @property
    def added(self) -> Program: ...

    @property
    def removed(self) -> Program: ...


class Fault(Enum):
    """The value says what is wrong."""

    ISOLATION = "Tenants could reach each other without a declared path."
    REACH = "The program and the intent disagree about a packet."
    GUARD = "A guest could send what no guest may send, or could not send what every guest may."
    DEFENCE = "A net below a net is missing: nothing would stop what no rule thought of."
    STALE = "Flows that an older policy allowed could go on unjudged."
    NOT_UNDERSTOOD = "The program says something that the verifier does not understand."


@dataclass(frozen=True, slots=True)
class Frame:
    """What a guest's device sends that is no packet of a flow: ARP, tags, other protocols. `words` say which."""

    scope: str
    device: str
    words: str


@dataclass(frozen=True, slots=True)
class Violation:
    """`packet` proves it; None where there is no packet yet, because what is missing is a defence in depth.

    `intended` and `programmed` are what the intent and the program say about the packet, where it has verdicts.
    """

    fault: Fault
    scope: str
    what: str
    packet: Probe | Frame | None = None
    intended: Verdict | None = None
    programmed: Verdict | None = None

    def __str__(self) -> str:
        return f"{self.scope}: {self.what} {self.fault.value}"
