"""The packet in question, and the answer: where it arrives, as what, and why."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.verifier.reasons import Reason

ICMP, TCP, UDP = 1, 6, 17
"""IANA's protocol numbers."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The guest behind a port."""

    owner: ProjectKey
    port: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A host on the external network or beyond."""

    address: IPv4Address


@dataclass(frozen=True, slots=True)
class Router:
    """The router of a VPC itself."""

    owner: ProjectKey


End = Inside | Outside | Router


class Phase(Enum):
    """Which packet of its flow it is. A probe always describes the flow as its first packet did."""

    OPENING = "opening"
    """The first, or a later one in the same direction: what is allowed holds for the whole flow."""
    MIDDLE = "middle"
    """A TCP segment of a connection whose beginning nobody saw: like a first one."""
    REPLY = "reply"
    """From the receiver of the flow, back."""
    ERROR = "error"
    """An ICMP error about the flow, from its receiver."""
    STRAY = "stray"
    """In the flow's own direction, but one that can only answer (SYN-ACK, RST, echo reply, ICMP error)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """`source_port` and `destination_port` are 0 for protocols without; ICMP is an echo request.

    `source_address` is what a guest claims to be; None is the truth.
    """

    source: Inside | Outside
    destination: IPv4Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    phase: Phase = Phase.OPENING
    source_address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Addresses and transport ports as the receiver sees them."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int

    @property
    def reversed(self) -> "Seen":
        return Seen(self.destination, self.destination_port, self.source, self.source_port)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`receiver` and `seen` are None when the packet is not delivered.

    `reasons` are what let it pass, in order, or everything that stops it.
    """

    receiver: End | None
    seen: Seen | None
    reasons: tuple[Reason, ...]

    @property
    def delivered(self) -> bool:
        return self.receiver is not None
