"""Packets of one device, as they pass it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Wanted:
    """At which device of a scope ("" is the host's own), what, and when to end. `expression` is pcap-filter's."""

    scope: str
    device: str
    expression: str = ""
    seconds: int = 60
    packets: int = 10_000
    data_bytes: int = 64 << 20
    snap_length: int = 65_535


@dataclass(frozen=True, slots=True)
class Captured:
    """`length` is the packet's on the wire; `data` what was kept of it, from the Ethernet header on."""

    at_ns: int
    length: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Capturing:
    """`missed`: so many matched since the last time and found no room. `ended` says why nothing more comes."""

    packets: tuple[Captured, ...] = ()
    missed: int = 0
    ended: str = ""


class Capturer(Protocol):
    """What a host offers."""

    def capture(self, wanted: Wanted) -> AsyncIterator[Capturing]:
        """First nothing, once it listens. Closing it ends the capture at once.

        Refusals CAPTURE_FILTER_INVALID, CAPTURE_UNAVAILABLE, TOO_MANY_CAPTURES.
        """
        ...
