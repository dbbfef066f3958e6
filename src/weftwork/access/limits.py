"""How much one tenant may ask of the server. Time is told, never read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one tenant: calls a second and how many at once beyond that, and calls and streams at the same time."""

    calls_per_s: float = 200.0
    burst: int = 400
    in_flight: int = 256


@dataclass(slots=True)
class Bucket:
    """Fills at a rate, holds a burst; every call takes one."""

    rate: float
    burst: float
    level: float
    filled_at_s: float

    @classmethod
    def full(cls, limits: Limits, now_s: float) -> "Bucket":
        return cls(limits.calls_per_s, float(limits.burst), float(limits.burst), now_s)

    def take(self, now_s: float) -> float:
        """0.0 when there was one; else in how many seconds there will be."""
        self.level = min(self.burst, self.level + max(0.0, now_s - self.filled_at_s) * self.rate)
        self.filled_at_s = now_s
        if self.level >= 1.0:
            self.level -= 1.0
            return 0.0
        return (1.0 - self.level) / self.rate

    def is_empty(self, now_s: float) -> bool:
        """The next one would have to wait."""
        return self.level + (now_s - self.filled_at_s) * self.rate < 1.0

    def is_full(self, now_s: float) -> bool:
        """Nothing is lost by forgetting it."""
        return self.level + (now_s - self.filled_at_s) * self.rate >= self.burst
