"""Logged packets: from a data plane, which knows devices and addresses, to those who may read them."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from weftwork.base.tenancy import ProjectKey

Verdict = Literal["allowed", "dropped"]
Side = Literal["in", "out", "both"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet as a data plane logged it in a scope. Addresses are empty where it was no IPv4 or ARP.

    `side`: `out` if it was judged as the sender's, `in` as the receiver's, `both` as that of both. `device` is the one
    that it came from, if that is known.
    """

    scope: str
    at_ns: int
    side: Side
    reason: str
    policy: str
    device: str
    protocol: str
    source: str = ""
    destination: str = ""
    source_port: int = 0
    destination_port: int = 0
    length: int = 0
    host: str = ""
    """Of the fleet, that logged it."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A packet as a port's owner is told of it. `sample`: it stands for about so many."""

    number: int
    at_ms: int
    port: str
    port_name: str
    direction: Literal["egress", "ingress"]
    verdict: Verdict
    reason: str
    policy: str
    protocol: str
    source: str
    destination: str
    source_port: int
    destination_port: int
    length: int
    sample: int


@dataclass(frozen=True, slots=True)
class FlowsSeen:
    """`missed`: so many came since the last time and are forgotten already."""

    flows: tuple[Flow, ...]
    missed: int = 0


class FlowSource(Protocol):
    """What a data plane offers. When things of these kinds change, it is to be told again what to follow."""

    @property
    def followed_kinds(self) -> frozenset[str]: ...

    def follow(self, scopes: frozenset[str]) -> None:
        """Listen in these and no others, from now on; one that is not there yet is listened in once it is."""
        ...

    def close(self) -> None: ...


TakeSeen = Callable[[Sequence[Seen]], None]
"""Called from the event loop's thread."""


class FlowLogs(Protocol):
    """What the API asks. `port` is an id, empty for all; so is `verdict`."""

    def recent(self, owner: ProjectKey, *, port: str, verdict: str, since_ms: int, limit: int) -> tuple[Flow, ...]: ...

    def watch(self, owner: ProjectKey, *, port: str, verdict: str, since_ms: int) -> AsyncIterator[FlowsSeen]: ...
