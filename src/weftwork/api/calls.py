"""What happens around every call, whichever door it comes through: limits, and how the caller wants it done."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self, TypeVar

from google.protobuf.message import DecodeError, Message
from msgspec import Struct

from weftwork.access.caller import Credentials, Principal
from weftwork.actions.journal import Author
from weftwork.actions.terms import Replayed, Terms
from weftwork.api.doors import Doors
from weftwork.api.guard import Guard, authorise
from weftwork.api.operations import Operation, Tunnel, Watch
from weftwork.api.refusals import RefusalLog
from weftwork.api.terms import answer_again, changing, terms_of, unconfirmed
from weftwork.api.waiting import Wait, when_programmed
from weftwork.base import codes
from weftwork.base.errors import Failure, Refusal
from weftwork.telemetry.logs import told
from weftwork.telemetry.metrics import OK, Metrics
from weftwork.telemetry.traces import NoSpans, Spans

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 1 << 20
T = TypeVar("T")

CALLS_MAX = 2048
_NO_TERMS = (None,) * 5
"""Calls and streams at the same time."""


class Call(Struct, frozen=True):
    """What a door knows of a call besides its request."""

    request_bytes: int
    credentials: Credentials
    overrides_reach_tests: bool = False
    if_match: str | None = None
    """ETags: the change is made only if its thing has one of them."""
    confirm_within: str | None = None
    """Seconds: the change undoes itself then, unless it is confirmed."""
    confirmation: str | None = None
    """By this name; without one, by one that the server chooses."""
    probes: str | None = None
    """With semicolons between."""
    idempotency_key: str | None = None
    """The change is made once, however often the call comes with this key."""

    @property
    def has_terms(self) -> bool:
        said = (self.if_match, self.idempotency_key, self.confirm_within, self.confirmation, self.probes)
        return said != _NO_TERMS


@dataclass(slots=True)
class Gate:
    """Whether the server takes calls, how many it works on, and how many it has turned away for that."""

    is_ready: bool = False
    in_flight: int = 0
    turned_away: int = 0

    def admit(self, call: Call) -> "Gate":
        """Refuses, or returns what counts the call while it lasts."""
        if not self.is_ready:
            self.turned_away += 1
            raise codes.NOT_READY.refusal("the server still reads its store")
        if self.in_flight >= CALLS_MAX:
            self.turned_away += 1
            raise codes.TOO_MANY_CALLS.refusal(f"{CALLS_MAX} calls are in flight")
        if call.request_bytes > MESSAGE_BYTES_MAX:
            message = f"the request has {call.request_bytes} bytes, at most {MESSAGE_BYTES_MAX} are accepted"
            raise codes.MESSAGE_TOO_LARGE.refusal(message)
        return self

    def __enter__(self) -> None:
        self.in_flight += 1

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.in_flight -= 1


@dataclass(frozen=True, slots=True)
class Calls:
    """The way in. A door turns what came over its wire into a `Call` and a request, and tells what comes back.

    `parse` makes the request, once the call is admitted; it raises DecodeError, or Refusal in the door's own words.
    """

    doors: Doors
    gate: Gate
    guard: Guard
    refusals: RefusalLog | None = None
    """Where what is refused is noted; None: nowhere."""
    metrics: Metrics = field(default_factory=Metrics)
    spans: Spans = field(default_factory=NoSpans)

    async def answer(self, operation: Operation, call: Call, parse: Callable[[], Any]) -> Message:
        return (await self.answer_when(operation, call, parse))[0]

    async def answer_when(
        self, operation: Operation, call: Call, parse: Callable[[], Any], wait: Wait | None = None
    ) -> tuple[Message, bool]:
        """The answer, and whether what was to be waited for has come."""
        passage = _Passage(operation.method, call.credentials, self.refusals)
        told_as = _Told(self, passage, is_change=operation.mutation is not None)
        with told_as, passage, self.gate.admit(call):
            principal = passage.principal = await self.guard.principal_for(operation.method, call.credentials)
            with self.guard.paced(principal, call.credentials):
                request = _parsed(parse)
                self._let_in(passage, operation.method, call, request)
                with self.guard.shared(principal, passage.tenant):
                    doors = self._doors_for(call, principal, operation.method)
                    run = partial(self._run, operation, doors, call, request)
                    if wait is None:
                        return await run(), True
                    mutation, inner = changing(operation, request)
                    return await when_programmed(doors, mutation, inner, wait, run)

    async def _run(self, operation: Operation, doors: Doors, call: Call, request: Message) -> Message:
        if call.has_terms:
            return await self._on_terms(operation, doors, call, request)
        return await operation.run(doors, request)

    async def _on_terms(self, operation: Operation, doors: Doors, call: Call, request: Message) -> Message:
        mutation, inner = changing(operation, request)
        terms = terms_of(doors, mutation, inner, if_match=call.if_match, idempotency_key=call.idempotency_key)
        awaits = unconfirmed(doors.network, call.confirm_within, call.confirmation, call.probes)
        terms = replace(terms, unconfirmed=awaits)
        if operation.mutation is None:
            terms = Terms(terms.expected)  # A plan may be made again and again.
        try:
            return await operation.run(doors.on(doors.network.on_terms(terms)), request)
        except Replayed as replayed:
            return answer_again(doors, mutation, replayed)

    async def watch(self, watch: Watch, call: Call, parse: Callable[[], Any]) -> AsyncGenerator[Message, None]:
        async with aclosing(self._following(watch.method, watch.run, call, parse)) as events:
            async for event in events:
                yield event

    async def tunnel(
        self, tunnel: Tunnel, call: Call, parse: Callable[[], Any], incoming: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        def run(doors: Doors, target: Any) -> AsyncIterator[bytes]:
            return tunnel.run(doors, target, incoming)

        async with aclosing(self._following(tunnel.method, run, call, parse)) as outgoing:
            async for data in outgoing:
                yield data

    async def _following(
        self, method: str, run: Callable[[Doors, Any], AsyncIterator[T]], call: Call, parse: Callable[[], Any]
    ) -> AsyncGenerator[T, None]:
        with _Passage(method, call.credentials, self.refusals) as passage, self.gate.admit(call):
            principal = passage.principal = await self.guard.principal_for(method, call.credentials)
            with self.guard.paced(principal, call.credentials):
                request = _parsed(parse)
                self._let_in(passage, method, call, request)
                with self.guard.shared(principal, passage.tenant):
                    doors = self._doors_for(call, principal, method)
                    async with aclosing(self.guard.while_valid(principal, run(doors, request))) as events:
                        async for event in events:
                            yield event

    def _let_in(self, passage: "_Passage", method: str, call: Call, request: Any) -> None:
        assert passage.principal is not None
        passage.tenant = authorise(passage.principal, method, request, overrides=call.overrides_reach_tests)

    def _doors_for(self, call: Call, principal: Principal, method: str) -> Doors:
        author = Author(principal.name, call.credentials.peer, method)
        network = self.doors.network.on_behalf(author, principal, overrides_reach_tests=call.overrides_reach_tests)
        return self.doors.on(network)


# Classes, and not generators: every call passes through all of them.


class _Passage:
    """How far a call came: who makes it, and for which tenant. What is refused inside goes into the audit log."""

    __slots__ = ("_refusals", "credentials", "method", "principal", "tenant")

    def __init__(self, method: str, credentials: Credentials, refusals: RefusalLog | None) -> None:
        self.method = method
        self.credentials = credentials
        self._refusals = refusals
        self.principal: Principal | None = None
        self.tenant = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._refusals is not None and isinstance(error, Refusal):
            self._refusals.take(self.principal, self.credentials, self.method, self.tenant, error)


class _Told:
    """What comes of a call, and how long that took: in the metrics, the log and the traces."""

    __slots__ = ("_calls", "_is_change", "_passage", "_span", "_start")

    def __init__(self, calls: Calls, passage: _Passage, *, is_change: bool) -> None:
        self._calls = calls
        self._passage = passage
        self._is_change = is_change

    def __enter__(self) -> None:
        self._start = time.perf_counter()
        self._span = self._calls.spans.begin(self._passage.method.strip("/"))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        level = logging.INFO if self._is_change else logging.DEBUG
        match error:
            case None:
                code = OK
            case Refusal():
                code = error.code
            case Failure():
                code, level = error.code, logging.WARNING
            case Exception():
                code, level = "INTERNAL", logging.WARNING
            case _:
                code = OK
        seconds = time.perf_counter() - self._start
        method = self._passage.method
        self._calls.metrics.call(method, code, seconds)
        if log.isEnabledFor(level):
            log.log(level, "%s: %s", method, code, extra=_line(self._passage, code, seconds))
        self._span.end("" if code == OK else code)


def _line(passage: _Passage, code: str, seconds: float) -> Mapping[str, Any]:
    """Of the request's own words none: they are the tenant's."""
    return told(
        method=passage.method,
        code=code,
        seconds=round(seconds, 6),
        who=passage.principal.name if passage.principal else "",
        peer=passage.credentials.peer,
        project=passage.tenant,
    )


def _parsed(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except DecodeError:
        raise codes.MALFORMED_MESSAGE.refusal("the request's bytes are not the message that the call takes") from None
