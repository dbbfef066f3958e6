"""gRPC's side of a call: from bytes to bytes.

Requests arrive as bytes, so that malformed ones are refused in our words; answers leave as bytes.
"""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import grpc
import grpc.aio

from weftwork.access.caller import Credentials, Transport
from weftwork.api.calls import Call, Calls
from weftwork.api.errors import answer_to
from weftwork.api.guard import bearer_in
from weftwork.api.operations import OPERATIONS, TUNNELS, WATCHES, Operation, Tunnel, Watch
from weftwork.api.terms import CONFIRM_WITHIN, CONFIRMATION, IDEMPOTENCY_KEY, IF_MATCH, PROBE
from weftwork.telemetry.trail import REQUEST_ID, TRACEPARENT, Trail, begin, trail_of

AUTHORIZATION = "authorization"
_BY_SOCKET = Credentials(Transport.SOCKET, "socket")
OVERRIDE = "weft-override-reach-tests"
"""Metadata: `yes` carries out what reach tests forbid."""

Metadata = Mapping[str, str | bytes]

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[bytes, bytes]
    Handler = grpc.RpcMethodHandler[bytes, bytes]


def handlers(calls: Calls) -> dict[str, dict[str, "Handler"]]:
    """By service and method."""
    services: dict[str, dict[str, Handler]] = {}
    for operation in OPERATIONS.values():
        _add(services, operation.method, grpc.unary_unary_rpc_method_handler(_unary(calls, operation)))
    for watch in WATCHES.values():
        _add(services, watch.method, grpc.unary_stream_rpc_method_handler(_stream(calls, watch)))
    for tunnel in TUNNELS.values():
        _add(services, tunnel.method, grpc.stream_stream_rpc_method_handler(_both_ways(calls, tunnel)))
    return services


def _add(services: dict[str, dict[str, "Handler"]], path: str, handler: "Handler") -> None:
    service, method = path.strip("/").split("/")
    services.setdefault(service, {})[method] = handler


def _unary(calls: Calls, operation: Operation) -> Any:
    parse = operation.request.FromString

    async def handle(request: bytes, context: "Context") -> bytes:
        metadata = _metadata(context)
        trail = _begun(metadata)
        context.set_trailing_metadata(_mark(trail))
        try:
            call = _call(request, context, metadata)
            answer = await calls.answer(operation, call, partial(parse, request))
            return answer.SerializeToString()
        except Exception as error:
            return await _abort(context, error, operation.method, trail)

    return handle


def _stream(calls: Calls, watch: Watch) -> Any:
    parse = watch.request.FromString

    async def handle(request: bytes, context: "Context") -> AsyncIterator[bytes]:
        metadata = _metadata(context)
        trail = _begun(metadata)
        await context.send_initial_metadata(_mark(trail))
        try:
            async for event in calls.watch(watch, _call(request, context, metadata), partial(parse, request)):
                yield event.SerializeToString()
        except Exception as error:
            await _abort(context, error, watch.method, trail)

    return handle


def _metadata(context: "Context") -> Metadata:
    return dict(context.invocation_metadata() or ())


def _both_ways(calls: Calls, tunnel: Tunnel) -> Any:
    async def handle(incoming: AsyncIterator[bytes], context: "Context") -> AsyncIterator[bytes]:
        metadata = _metadata(context)
        trail = _begun(metadata)
        await context.send_initial_metadata(_mark(trail))
        try:
            first = await anext(incoming, b"")
            passing = calls.tunnel(tunnel, _call(first, context, metadata), partial(tunnel.target, first), incoming)
            async for data in passing:
                yield data
        except Exception as error:
            await _abort(context, error, tunnel.method, trail)

    return handle


def _call(request: bytes, context: "Context", metadata: Metadata) -> Call:
    return Call(
        len(request),
        _credentials(context, str(metadata.get(AUTHORIZATION, ""))),
        overrides_reach_tests=metadata.get(OVERRIDE) == "yes",
        if_match=_text(metadata.get(IF_MATCH)),
        confirm_within=_text(metadata.get(CONFIRM_WITHIN)),
        confirmation=_text(metadata.get(CONFIRMATION)),
        probes=_text(metadata.get(PROBE)),
        idempotency_key=_text(metadata.get(IDEMPOTENCY_KEY)),
    )


def _begun(metadata: Metadata) -> Trail:
    """Each call has its task, which is the request's from here on."""
    trail = trail_of(_text(metadata.get(REQUEST_ID)) or "", _text(metadata.get(TRACEPARENT)) or "")
    begin(trail)
    return trail


def _mark(trail: Trail) -> tuple[tuple[str, str], ...]:
    return ((REQUEST_ID, trail.request_id),)


def _text(value: str | bytes | None) -> str | None:
    return None if value is None else str(value)


def _credentials(context: "Context", authorization: str) -> Credentials:
    """What gRPC says of the connection; a Unix socket's peer has no name, and no TLS."""
    peer = str(context.peer())
    if peer.startswith("unix:"):
        return _BY_SOCKET if not authorization else Credentials(Transport.SOCKET, "socket", bearer_in(authorization))
    address, auth = unquote(peer).partition(":")[2], context.auth_context()
    transport = Transport.TLS if b"ssl" in auth.get("transport_security_type", ()) else Transport.LOOPBACK
    return Credentials(transport, address, bearer_in(authorization), _certificate(auth))


def _certificate(auth: Mapping[str, Any]) -> str:
    """The common name of a client's certificate that the handshake has verified."""
    names = tuple(auth.get("x509_common_name", ()))
    return names[0].decode(errors="replace") if names else ""


async def _abort(context: "Context", error: Exception, path: str, trail: Trail) -> NoReturn:
    answer = answer_to(error, path)
    await context.abort(answer.code, answer.message, (*answer.metadata, *_mark(trail)))
