"""A rate with a reserve: how much one interface may ask of a responder that serves many."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Per interface. The reserve is for a subnet whose guests all boot at once."""

    requests_per_s: float = 250.0
    reserve: int = 1000
    requests_per_turn: int = 16
    """How many are answered before other interfaces, and all else in the event loop, get their turn."""


class TokenBucket:
    """Times are seconds of any clock that never goes back."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._tokens = float(limits.reserve)
        self._at_s = now_s

    def available(self, now_s: float) -> int:
        """How many may be spent now."""
        grown = self._tokens + (now_s - self._at_s) * self._limits.requests_per_s
        self._tokens = min(grown, float(self._limits.reserve))
        self._at_s = now_s
        return int(self._tokens)

    def spend(self) -> None:
        self._tokens -= 1
