"""A second opinion of each packet: what the tables of the data plane say of it, read by somebody else than it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from weftwork.testing.equivalence.frames import Arrival
from weftwork.testing.equivalence.shots import Form, Shot
from weftwork.verifier.model import Traits
from weftwork.verifier.packet import TCP, UDP, Phase, Seen, Verdict


class Tracked(Enum):
    """What connection tracking says of a packet: in no table, so whoever asks has to tell."""

    NEW = "new"
    ESTABLISHED = "est"
    REPLY = "est,rpl"
    RELATED = "rel,rpl"
    INVALID = "inv"


class Untold(Enum):
    """Why there is no second opinion of a packet."""

    TRANSLATED_BACK = "what answers a translated flow is translated back by what connection tracking remembers"
    CALLS_ITSELF = "who calls itself by a DNAT gets the external address as a source, which ovn-trace leaves out"
    NO_MAC = "the router did not know yet which MAC an address outside has"


@dataclass(frozen=True, slots=True)
class Foretold:
    """A packet that would come out at an interface, or a router's own answer (`interface` is empty)."""

    interface: str
    seen: Seen


class Opinion(Protocol):
    def of(self, interface: str, frame: bytes, tracked: Tracked) -> tuple[Foretold, ...] | Untold:
        """What would come of a frame that is sent at the far end of a port, or outside."""


def tracked_first(shot: Shot, traits: Traits) -> Tracked:
    """Of a packet that belongs to no flow yet."""
    if shot.form in (Form.SYN_ACK, Form.ECHO_REPLY, Form.UNREACHABLE):
        return Tracked.INVALID
    has_port_zero = shot.probe.protocol in (TCP, UDP) and not shot.probe.destination_port
    return Tracked.INVALID if has_port_zero and not traits.carries_port_zero else Tracked.NEW


def tracked_later(sent: Seen, before: Verdict, now: Verdict) -> Tracked:
    """Of a packet of a flow that there was. A translated one is judged as it was when it began."""
    return Tracked.NEW if _is_translated(sent, before) or _is_translated(sent, now) else Tracked.ESTABLISHED


def tracked_answer(sent: Seen, verdict: Verdict, phase: Phase) -> Tracked | Untold:
    """`sent` is the flow's packet as it was sent."""
    if _is_translated(sent, verdict):
        return Untold.TRANSLATED_BACK
    return Tracked.RELATED if phase is Phase.ERROR else Tracked.REPLY


def agrees(shot: Shot, verdict: Verdict, interface: str, told: tuple[Foretold, ...], came: Iterable[Arrival]) -> bool:
    """With the model, whose receiver is at `interface` (empty for a router itself); where the model leaves it open
    whether a packet is lost, with what came."""
    if not verdict.delivered:
        return not told
    if shot.form is Form.WRONG_MAC and not told:
        return not any(came)
    if len(told) != 1:
        return False
    (only,), seen = told, verdict.seen
    assert seen is not None
    if not interface:
        seen = seen.reversed
    if shot.probe.phase is Phase.ERROR or not interface:
        ends = (only.seen.source, only.seen.destination) == (seen.source, seen.destination)
        return only.interface == interface and ends
    return only == Foretold(interface, seen)


def _is_translated(sent: Seen, verdict: Verdict) -> bool:
    return verdict.seen is not None and verdict.seen != sent
