"""How the hosts of the fleet are, for the API to read. Derived from what their agents say, never stored."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from weftwork.base import codes
from weftwork.base.errors import Failure, Refusal
from weftwork.program.resource import Program
from weftwork.seams.bundle import BundleFile
from weftwork.seams.capture import Capturer, Capturing, Wanted
from weftwork.seams.channel import ProgramChange, Report, Session
from weftwork.seams.flows import Seen


@dataclass(frozen=True, slots=True)
class HostState:
    """`reason` and `message` say why a host is not ready; `since_s` is of `is_ready`, as this server saw it."""

    is_ready: bool
    reason: str
    message: str
    since_s: int
    generation: int = 0
    desired_generation: int = 0
    resources: int = 0
    failures: int = 0
    routing: str = "static"
    sessions: tuple[Session, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A change for a host, and the digest of its whole program once it is done."""

    change: ProgramChange
    digest: int


@dataclass(frozen=True, slots=True)
class Question:
    """What the host is asked for: what it holds of the named scopes, or of everything."""

    number: int
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class CaptureAsked:
    number: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class FilesAsked:
    """What whoever helps asks for first."""

    number: int


@dataclass(frozen=True, slots=True)
class Ceased:
    """Nobody reads the answer to this question any more."""

    number: int


@dataclass(frozen=True, slots=True)
class FlowsFollowed:
    """Of these VPCs logged packets are to be told, and of no others."""

    scopes: frozenset[str]


Asked = Question | CaptureAsked | FilesAsked | Ceased | FlowsFollowed


class AgentSession(Protocol):
    """The controller's side of a connected agent, for whoever speaks its wire."""

    def updates(self, generation: int, term: int, digest: int) -> AsyncIterator[Told | Asked]:
        """What to tell a host that has this program; ends when another session begins or the host is nobody's."""
        ...

    def take(self, report: Report) -> None: ...

    def answered(self, number: int, outcome: Program | Failure) -> None: ...

    def told_part(self, number: int, part: Capturing | BundleFile) -> None:
        """Of an answer that comes bit by bit."""
        ...

    def ended(self, number: int, refusal: Refusal | None) -> None:
        """That was all of it."""
        ...

    def saw(self, seen: Sequence[Seen]) -> None: ...


class AgentSessions(Protocol):
    def connect(self, host: str) -> AgentSession:
        """Refusals HOST_NOT_FOUND, AGENT_ALREADY_CONNECTED."""
        ...

    def heard(self, host: str) -> None: ...

    def left(self, host: str, session: AgentSession) -> None:
        """The session is over; another one of the host may have begun."""
        ...


class Fleet(Protocol):
    def state_of(self, host: str) -> HostState: ...

    def authority(self) -> str:
        """The certificate of the authority that hosts are to believe, in PEM; empty without a fleet."""
        ...

    def capturer(self, host: str) -> Capturer:
        """Listens at devices of the host. Refusal HOST_NOT_FOUND; capturing raises Failure HOST_UNREACHABLE."""
        ...


class NoFleet:
    """Of a server that looks after one machine."""

    def state_of(self, host: str) -> HostState:
        return HostState(False, "NO_FLEET", "this server listens for no agents", 0)

    def authority(self) -> str:
        return ""

    def capturer(self, host: str) -> Capturer:
        raise codes.HOST_NOT_FOUND.refusal(f"there is no host {host!r}")
