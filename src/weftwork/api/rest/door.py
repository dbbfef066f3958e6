"""REST's side of a call: from an HTTP request to one of the operations, and back. Nothing is decided here."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from http import HTTPStatus
from ipaddress import ip_address

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from weftwork.access.caller import Credentials, Transport
from weftwork.api.calls import MESSAGE_BYTES_MAX, Call, Calls
from weftwork.api.guard import bearer_in
from weftwork.api.mutations import MUTATIONS
from weftwork.api.operations import OPERATIONS
from weftwork.api.rest import problems
from weftwork.api.rest.direct import DIRECT, Text
from weftwork.api.rest.messages import to_text, written
from weftwork.api.rest.paths import Found, Paths
from weftwork.api.rest.protocol import IS_WHOLE, TELL_WHOLE, certificate_of
from weftwork.api.rest.requests import Asked, query_of, request_of
from weftwork.api.rest.routes import ROUTES, Route
from weftwork.api.terms import CONFIRM_WITHIN, CONFIRMATION, IDEMPOTENCY_KEY, IF_MATCH, PROBE, etag
from weftwork.api.waiting import Wait
from weftwork.base import codes
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft
from weftwork.telemetry.trail import REQUEST_ID, TRACEPARENT, begin, trail_of

JSON = "application/json"
LAST_EVENT = "last-event-id"
EVENTS = "text/event-stream"
OVERRIDE = "weft-override-reach-tests"
"""The header `yes` carries out what reach tests forbid, as gRPC's metadata does."""
HEARTBEAT_S = 15.0
BODY_S = 30.0
FIRST_WORD_S = 0.2
"""How long a watch may take to be refused with a status; later, the refusal is an event."""
ALWAYS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
ALWAYS_RAW = tuple((name.encode(), value.encode()) for name, value in ALWAYS.items())
OF_MUTATIONS = frozenset({"dry_run", "wait", "timeout"})
"""Parameters of every mutation."""
_REVISION = re.compile(r"[0-9]{1,19}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
NONE: frozenset[str] = frozenset()
_BY_SOCKET = Credentials(Transport.SOCKET, "socket")
PLAN = OPERATIONS["/weftwork.v1.PlanService/Plan"]


class RestDoor:
    """An ASGI application: everything below `/v1`."""

    def __init__(self, calls: Calls, transport: Transport) -> None:
        """`transport` is that of the socket it stands behind: a connection that is gone does not tell any more."""
        self._calls = calls
        self._transport = transport
        self._paths = Paths(ROUTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        trail = trail_of(headers.get(REQUEST_ID, ""), headers.get(TRACEPARENT, ""))
        begin(trail)
        try:
            answer = await self._answer(scope, headers, receive)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = refused(problems.problem_of(error, f"{scope['method']} {scope['path']}"))
        # Every answer says which request it is to; one that is whole is not sent piece by piece.
        if isinstance(answer, Answer):
            answer.headers.append((REQUEST_ID.encode(), trail.request_id.encode()))
            await answer(scope, receive, send)
        else:
            await answer(scope, receive, _marking(send, trail.request_id))

    async def _answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> ASGIApp:
        check_site(headers, self._transport)
        found = self._paths.find(scope.get("raw_path") or scope["path"].encode())
        if found is None:
            raise codes.NO_SUCH_PATH.refusal(f"there is no {decode.quoted(scope['path'])}")
        is_head = scope["method"] == "HEAD"
        route = found.routes.get("GET" if is_head else scope["method"])
        if route is None or (is_head and route.watch):
            return not_allowed(found)
        _check_accepted(headers.get("accept", ""), EVENTS if route.watch else JSON)
        body = await _body(scope, receive, headers) if route.has_body else b""
        credentials = self._credentials(scope, headers)
        asked = Asked(route, found.words, query_of(scope["query_string"]), headers, body, credentials)
        return await (self._stream(asked) if route.watch else self._unary(asked))

    def _credentials(self, scope: Scope, headers: Mapping[str, str]) -> Credentials:
        authorization = headers.get("authorization", "")
        if not authorization and self._transport is Transport.SOCKET:
            return _BY_SOCKET
        return Credentials(self._transport, _peer(scope), bearer_in(authorization), certificate_of(scope))

    async def _unary(self, asked: Asked) -> ASGIApp:
        route = asked.route
        call, wait = _call(asked), _wait_in(asked)
        if _is_dry(asked):
            return told(await self._calls.answer(PLAN, call, lambda: _plan_of(asked)), HTTPStatus.OK)
        besides = OF_MUTATIONS if route.is_mutation else NONE
        own = DIRECT.get(route.operation.method) if wait is None else None
        answer, is_met = await self._calls.answer_when(
            own or route.operation, call, lambda: request_of(asked, besides), wait
        )
        return told(answer, route.status if is_met else HTTPStatus.ACCEPTED)

    async def _stream(self, asked: Asked) -> ASGIApp:
        watch = asked.route.watch
        assert watch is not None
        events = self._calls.watch(watch, _call(asked), lambda: _watched(asked))
        first = asyncio.ensure_future(anext(events))
        try:
            await asyncio.wait((first,), timeout=FIRST_WORD_S)
            # A watch that has nothing to tell may end at once.
            if first.done() and not isinstance(first.exception(), StopAsyncIteration):
                first.result()
        except BaseException:
            await _ended(first, events)
            raise
        return StreamingResponse(_told_events(first, events), media_type=EVENTS, headers=ALWAYS)


def _marking(send: Send, request_id: str) -> Send:
    mark = (REQUEST_ID.encode(), request_id.encode())

    async def marked(message: Event) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), mark]
        await send(message)

    return marked


class Answer:
    """A whole answer, ready to be sent: each costs the server what it costs to make, and hardly more."""

    __slots__ = ("body", "has_length", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", media_type: str = "", **headers: str) -> None:
        self.status = status
        self.body = body
        self.headers = [*ALWAYS_RAW]
        self.has_length = bool(media_type)
        if media_type:
            self.headers.append((b"content-length", str(len(body)).encode()))
            self.headers.append((b"content-type", media_type.encode()))
        self.headers += [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tell = scope.get("extensions", {}).get(TELL_WHOLE)
        if tell is not None and self.has_length and tell(self.status, self.headers, self.body):
            return
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def told(answer: Message | Text, status: HTTPStatus) -> Answer:
    if isinstance(answer, Text):
        marks = {"etag": etag(answer.revision)} if answer.revision else {}
        return Answer(status, answer.content, JSON, **marks)
    if isinstance(answer, Empty):
        return Answer(status)
    document = written(answer)
    revision = document.get("revision", "0")
    if revision == "0":
        return Answer(status, to_text(document), JSON)
    return Answer(status, to_text(document), JSON, etag=etag(revision))


def refused(problem: problems.Problem, **headers: str) -> Answer:
    return Answer(problem.status, to_text(problem.document), problems.MEDIA_TYPE, **problem.headers, **headers)


def not_allowed(found: Found) -> Answer:
    """A watch has no end, so there is no head of it alone."""
    has_head = "GET" in found.routes and found.routes["GET"].watch is None
    verbs = ", ".join((*found.routes, "HEAD") if has_head else found.routes)
    return refused(problems.problem_of(codes.METHOD_NOT_ALLOWED.refusal(f"the path takes {verbs}"), ""), allow=verbs)


def check_site(headers: Mapping[str, str], transport: Transport) -> None:
    """A page of another site cannot make a browser call us: neither openly, nor by a name that leads here.

    Refusal CROSS_SITE.
    """
    host = headers.get("host", "")
    origin = headers.get("origin", "")
    if origin and origin.partition("://")[2] != host:
        raise codes.CROSS_SITE.refusal(f"the request is for a page of {decode.quoted(origin)}")
    if transport is Transport.LOOPBACK and not _is_address(host):
        raise codes.CROSS_SITE.refusal(f"{decode.quoted(host)} is not how this server is called")


def _is_address(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name == "localhost":
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _check_accepted(accept: str, offered: str) -> None:
    """Refusal NOT_ACCEPTABLE."""
    if not accept or accept == "*/*":
        return
    family = offered.partition("/")[0]
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        if kind in (offered, f"{family}/*", "*/*") and not {"q=0", "q=0.0"} & set(parameters):
            return
    raise codes.NOT_ACCEPTABLE.refusal(f"the answer is {offered}, which {decode.quoted(accept)} does not accept")


async def _body(scope: Scope, receive: Receive, headers: Mapping[str, str]) -> bytes:
    """Refusals MESSAGE_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, REQUEST_TOO_SLOW."""
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MESSAGE_BYTES_MAX:
        raise _too_large()
    is_whole = scope.get("extensions", {}).get(IS_WHOLE)
    # A timer costs as much as all else here, so only who has to be waited for gets one.
    body = await (_received(receive) if is_whole is not None and is_whole() else _received_in_time(receive))
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and (kind or body):
        raise codes.UNSUPPORTED_MEDIA_TYPE.refusal(f"the body is {decode.quoted(kind)}, and not {JSON}")
    return body


async def _received_in_time(receive: Receive) -> bytes:
    """Refusals MESSAGE_TOO_LARGE, REQUEST_TOO_SLOW."""
    try:
        async with asyncio.timeout(BODY_S):
            return await _received(receive)
    except TimeoutError:
        raise codes.REQUEST_TOO_SLOW.refusal(f"the body was not here after {BODY_S:g} seconds") from None


async def _received(receive: Receive) -> bytes:
    """Raises ClientDisconnect. Refusal MESSAGE_TOO_LARGE."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MESSAGE_BYTES_MAX:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> Exception:
    return codes.MESSAGE_TOO_LARGE.refusal(f"at most {MESSAGE_BYTES_MAX} bytes are accepted")


def _call(asked: Asked) -> Call:
    override = asked.headers.get(OVERRIDE)
    if override not in (None, "yes"):
        raise codes.INVALID_HEADER.refusal(f"{OVERRIDE}: {decode.quoted(override)} is not yes")
    return Call(
        len(asked.body),
        asked.credentials,
        overrides_reach_tests=override == "yes",
        if_match=asked.headers.get(IF_MATCH) if asked.route.is_mutation else None,
        confirm_within=asked.headers.get(CONFIRM_WITHIN) if asked.route.is_mutation else None,
        confirmation=asked.headers.get(CONFIRMATION) if asked.route.is_mutation else None,
        probes=asked.headers.get(PROBE) if asked.route.is_mutation else None,
        idempotency_key=asked.headers.get(IDEMPOTENCY_KEY) if asked.route.is_mutation else None,
    )


def _peer(scope: Scope) -> str:
    """As the journal has it."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client and client[0] else "socket"


def _is_dry(asked: Asked) -> bool:
    if not asked.route.is_mutation or "dry_run" not in asked.query:
        return False
    said = asked.once("dry_run")
    if said != "plan":
        raise decode.refusal(codes.INVALID_ARGUMENT, "dry_run", f"{decode.quoted(said)} is not plan")
    return True


def _wait_in(asked: Asked) -> Wait | None:
    if not asked.route.is_mutation or not {"wait", "timeout"} & asked.query.keys():
        return None
    if "wait" not in asked.query:
        raise decode.refusal(codes.INVALID_ARGUMENT, "timeout", "it says how long, and not for what: add wait")
    timeout = asked.once("timeout")
    if "timeout" in asked.query and not _SECONDS.fullmatch(timeout):
        raise decode.refusal(codes.INVALID_ARGUMENT, "timeout", f"{decode.quoted(timeout)} is no number of seconds")
    condition = decode.condition_type(decode.required(asked.once("wait"), "wait"), "wait")
    return Wait(condition, decode.wait_s(float(timeout or 0), "timeout"))


def _plan_of(asked: Asked) -> Message:
    """The same request, as what the PlanService takes."""
    request = request_of(asked, OF_MUTATIONS)
    plan = weft.PlanRequest()
    inner = getattr(plan, plan_field(asked.route))
    inner.SetInParent()
    inner.CopyFrom(request)
    return plan


def plan_field(route: Route) -> str:
    mutation = route.operation.mutation
    assert mutation is not None
    return FIELDS[mutation.method]


async def _told_events(first: "asyncio.Future[Message]", events: AsyncGenerator[Message, None]) -> AsyncIterator[bytes]:
    """Server-sent events; a comment now and then, so that whoever is in between does not take it for dead."""
    upcoming = first
    try:
        while True:
            done, _ = await asyncio.wait((upcoming,), timeout=HEARTBEAT_S)
            if not done:
                yield b": nothing new\n\n"
                continue
            yield _event(upcoming.result())
            upcoming = asyncio.ensure_future(anext(events))
    except StopAsyncIteration:
        return
    except Exception as error:
        yield b"event: problem\ndata: " + to_text(problems.problem_of(error, "watch").document) + b"\n\n"
    finally:
        await _ended(upcoming, events)


async def _ended(upcoming: "asyncio.Future[Message]", events: AsyncGenerator[Message, None]) -> None:
    """A generator cannot be closed while somebody waits for it."""
    upcoming.cancel()
    await asyncio.wait((upcoming,))
    if not upcoming.cancelled():
        upcoming.exception()
    await events.aclose()


def _event(message: Message) -> bytes:
    """With an id, where one can go on behind the event."""
    document = written(message)
    revision = document.get("revision", "0")
    mark = b"" if revision == "0" else f"id: {revision}\n".encode()
    return mark + b"data: " + to_text(document) + b"\n\n"


def _watched(asked: Asked) -> Message:
    """Where a client that lost its connection was, it says in a header."""
    request = request_of(asked, NONE)
    last = asked.headers.get(LAST_EVENT)
    if last is not None and asked.route.resumes:
        if not _REVISION.fullmatch(last):
            raise codes.INVALID_HEADER.refusal(f"{LAST_EVENT}: {decode.quoted(last)} is no revision")
        setattr(request, "after", int(last))  # noqa: B010 - of whatever message has it
    return request


FIELDS: Mapping[str, str] = {mutation.method: name for name, mutation in MUTATIONS.items()}
"""Of a PlanRequest, by method."""
