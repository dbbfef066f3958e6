"""How long to wait, on machines of different speed.

What should happen is waited for with a bound that is generous, for it costs nothing. What should not happen costs the
whole wait: it is short, and yet never shorter than thrice the longest that an answer took lately.
"""

import os
import threading
from collections import deque

FACTOR = float(os.environ.get("WEFT_TEST_PATIENCE", "1"))
"""How much slower than a developer's machine this one is; an emulated one takes 5."""

_answers_s: deque[float] = deque([0.0], maxlen=50)
_lock = threading.Lock()


def patient(bound_s: float) -> float:
    """The bound on this machine."""
    return bound_s * FACTOR


def answered(after_s: float) -> None:
    """An answer came: that is what packets that may pass take here and now."""
    with _lock:
        _answers_s.append(after_s)


def silence_s(asked_s: float) -> float:
    """How long nothing must come before we say that nothing comes."""
    with _lock:
        return max(asked_s * FACTOR, 3 * max(_answers_s))
