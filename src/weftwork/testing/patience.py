"""How long to wait, on machines of different speed.

What should happen is waited for with a bound that is generous, for it costs nothing. What should not happen costs the
whole wait: it is short, and yet never shorter than thrice the longest that an answer took lately.
"""

import os
import threading
from collections import deque

FACTOR = float(os.environ.get("WEFT_TEST_PATIENCE", "1"))
"""How much slower than a developer's machine this one may be; an emulated one takes 5."""

ANSWER_S = 3.0

_answers_s: deque[float] = deque([0.1 * FACTOR], maxlen=50)
"""The first is a guess, forgotten when enough is known."""
_lock = threading.Lock()


def patient(bound_s: float) -> float:
    """The bound on this machine."""
    return bound_s * FACTOR


def answered(after_s: float) -> None:
    """An answer came: that is what packets that may pass take here and now."""
    with _lock:
        _answers_s.append(after_s)


def wait_s(silence_s: float | None = None) -> float:
    """How long to wait for an answer; or, with `silence_s`, how long nothing must come before we say that none does."""
    if silence_s is None:
        return patient(ANSWER_S)
    with _lock:
        return max(silence_s, 3 * max(_answers_s))
