"""Whose work is being done: the request that asked for it, and where its trace stands. It follows the context."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from os import urandom

REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Trail:
    """`requests`: one in a call, several in an agent's round. `trace_id` and `span_id` as W3C's traceparent has them;
    empty where there is no trace."""

    requests: tuple[str, ...]
    trace_id: str = ""
    span_id: str = ""
    is_sampled: bool = False

    @property
    def request_id(self) -> str:
        """Empty where work is done for several."""
        return self.requests[0] if len(self.requests) == 1 else ""

    @property
    def traceparent(self) -> str:
        """Empty without a trace."""
        if not self.trace_id:
            return ""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


NOBODY = Trail(())
_current: ContextVar[Trail] = ContextVar("weftwork_trail", default=NOBODY)


def trail_of(request_id: str = "", traceparent: str = "") -> Trail:
    """Of what came with a call. What is malformed, or longer than anybody needs, is as if it had not come."""
    if not request_id and not traceparent:
        return Trail((urandom(16).hex(),))
    found = _TRACEPARENT.fullmatch(traceparent) if len(traceparent) <= 128 else None
    # Version 00 has four fields; later ones may have more.
    if found is None or (found[4] and traceparent.startswith("00")):
        trace: tuple[str, str, bool] = ("", "", False)
    else:
        trace = (found[1], found[2], bool(int(found[3], 16) & 1))
    known = request_id if _SANE_ID.fullmatch(request_id) else trace[0] or urandom(16).hex()
    return Trail((known,), *trace)


def joined(trails: tuple[Trail, ...]) -> Trail:
    """Of work that is done for all of them at once: in the trace of the one, or in none of several."""
    if len(trails) == 1:
        return trails[0]
    return Trail(tuple(name for one in trails for name in one.requests))


def begin(trail: Trail) -> None:
    """What this task does from now on, and what it starts, is done for that request."""
    _current.set(trail)


@contextmanager
def along(trail: Trail) -> Iterator[None]:
    before = _current.set(trail)
    try:
        yield
    finally:
        _current.reset(before)


def current() -> Trail:
    return _current.get()
