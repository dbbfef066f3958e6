"""What became of the faults that were seeded."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """`proven`: with a packet about which the program and the intent disagree. `hidden` change nothing.

    `alarms`: kept back, for tenants could meet.
    """

    seeded: Counter[str] = field(default_factory=Counter)
    found: int = 0
    proven: int = 0
    alarms: int = 0
    hidden: int = 0
    missed: list[str] = field(default_factory=list)

    def __add__(self, other: "Faults") -> "Faults":
        return Faults(
            self.seeded + other.seeded,
            self.found + other.found,
            self.proven + other.proven,
            self.alarms + other.alarms,
            self.hidden + other.hidden,
            self.missed + other.missed,
        )
