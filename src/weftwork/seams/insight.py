"""What is, what should be, and what would be: questions about the targets, for the API to answer."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from weftwork.base.tenancy import ProjectKey
from weftwork.seams.store import Write


class Action(Enum):
    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """`text` is the resource as it will be, or was when deleted; `old_text` only of a replacement."""

    host: str
    action: Action
    scope: str
    kind: str
    text: str
    old_text: str = ""


@dataclass(frozen=True, slots=True)
class ReachExample:
    """Names of ports; `internet` is the outside, and its destination a DNAT. `packets`: `tcp 80-90, udp 53`."""

    source: str
    destination: str
    packets: str


@dataclass(frozen=True, slots=True)
class ReachShare:
    """How many pairs of ports, ports on their way outside, and DNATs; and some of each."""

    pairs: int = 0
    outwards: int = 0
    forwards: int = 0
    examples: tuple[ReachExample, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pairs or self.outwards or self.forwards)


@dataclass(frozen=True, slots=True)
class ReachChange:
    """What a project gains and loses in who may talk to whom."""

    owner: ProjectKey
    gained: ReachShare
    lost: ReachShare


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """`objects` are lines such as `+ port acme/shop/web1 10.20.0.2 …`; `steps` stand in their order; `reach` holds
    the projects in which anything changes."""

    objects: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    reach: tuple[ReachChange, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetSummary:
    """One driver of one host. `generation` is what it has tried, `desired_generation` what it was told."""

    host: str
    driver: str
    generation: int
    desired_generation: int
    resources: int
    failures: int
    detail: str


@dataclass(frozen=True, slots=True)
class TargetState:
    """Resources as text, sorted, and the plan from observed to desired."""

    desired: tuple[str, ...]
    observed: tuple[str, ...]
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, slots=True)
class Leak:
    """Something of ours without an owner: `where` is `store` or `<host>/<driver>`."""

    where: str
    kind: str
    id: str
    why: str


class Insight(Protocol):
    async def plan(self, writes: tuple[Write, ...]) -> PlanPreview:
        """What the hosts would do if these writes were committed. Nothing is stored."""
        ...

    async def targets(self) -> tuple[TargetSummary, ...]: ...

    async def target(self, host: str, driver: str, scope: str) -> TargetState:
        """Empty arguments mean all. Raises Refusal TARGET_NOT_FOUND, and Failure when the host is out of reach."""
        ...

    async def leaks(self) -> tuple[Leak, ...]: ...
