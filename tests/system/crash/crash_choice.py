"""Which of many crash points to try, and how often to kill at random."""

import os
import random
from collections.abc import Sequence
from itertools import groupby

from weftwork.testing.patience import FACTOR

TRY_ALL = bool(os.environ.get("WEFT_CRASH_ALL"))
"""Every single crash point, and not just the last and one other of a row of alike ones."""

IS_SLOW = FACTOR > 1
"""An emulated machine: only to see that it works there too."""
ROUNDS = 3 if IS_SLOW else 30


def chosen(steps: Sequence[str], chance: random.Random) -> list[int]:
    """Numbers of the steps to die before, from one."""
    numbers = range(1, len(steps) + 1)
    if TRY_ALL:
        return list(numbers)
    if IS_SLOW:
        return sorted(chance.sample(numbers, min(2, len(numbers))))
    kept: list[int] = []
    for _, row in groupby(numbers, key=lambda number: _kind(steps[number - 1])):
        alike = list(row)
        kept += sorted({chance.choice(alike), alike[-1]})
    return kept


def some_of(numbers: Sequence[int], chance: random.Random) -> Sequence[int]:
    """A third of them, where each costs two starts."""
    return numbers if TRY_ALL or IS_SLOW else numbers[chance.randrange(3) :: 3]


def _kind(step: str) -> str:
    return "sysctl" if step.startswith("sysctl") else step
