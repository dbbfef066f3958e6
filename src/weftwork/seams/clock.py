"""Time as a parameter, so that the core has none of its own and tests can make it pass."""

from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> int:
        """Seconds since 1970-01-01 UTC."""
        ...
