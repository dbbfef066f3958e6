"""From bytes to bytes: what happens around every call, and nothing else does.

Requests arrive as bytes, so that malformed ones are refused in our words; answers leave as bytes.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from weftwork.api.conditions import WAIT, WATCH, wait_for_condition, watch_conditions
from weftwork.api.doors import Doors
from weftwork.api.errors import answer_to
from weftwork.api.mutations import MUTATIONS
from weftwork.api.reads import READS
from weftwork.base import codes
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft

MESSAGE_BYTES_MAX = 1 << 20
CALLS_MAX = 2048
"""Calls and streams at the same time."""
OVERRIDE = "weft-override-reach-tests"
"""Metadata: `yes` carries out what reach tests forbid."""

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[bytes, bytes]
    Handler = grpc.RpcMethodHandler[bytes, bytes]
Run = Callable[[Doors, Any], Awaitable[Message]]


@dataclass(slots=True)
class Gate:
    """Whether the server takes calls, how many it works on, and how many it has turned away for that."""

    is_ready: bool = False
    in_flight: int = 0
    turned_away: int = 0

    def enter(self, request: bytes) -> None:
        """Refuses, or counts the call; every enter that returns needs its `leave`."""
        if not self.is_ready:
            self.turned_away += 1
            raise codes.NOT_READY.refusal("the server still reads its store")
        if self.in_flight >= CALLS_MAX:
            self.turned_away += 1
            raise codes.TOO_MANY_CALLS.refusal(f"{CALLS_MAX} calls are in flight")
        if len(request) > MESSAGE_BYTES_MAX:
            message = f"the request has {len(request)} bytes, at most {MESSAGE_BYTES_MAX} are accepted"
            raise codes.MESSAGE_TOO_LARGE.refusal(message)
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1


def handlers(doors: Doors, gate: Gate) -> dict[str, dict[str, "Handler"]]:
    """By service and method."""
    unary: dict[str, tuple[type[Message], Run]] = {
        **{mutation.method: (mutation.request, mutation.run) for mutation in MUTATIONS.values()},
        **{read.method: (read.request, read.run) for read in READS.values()},
        WAIT: (weft.WaitForConditionRequest, wait_for_condition),
    }
    services: dict[str, dict[str, Handler]] = {}
    for path, (request, run) in unary.items():
        service, method = path.strip("/").split("/")
        services.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(
            _unary(path, request, run, doors, gate)
        )
    service, method = WATCH.strip("/").split("/")
    services[service][method] = grpc.unary_stream_rpc_method_handler(_watch(doors, gate))
    return services


def _unary(path: str, request_type: type[Message], run: Run, doors: Doors, gate: Gate) -> Any:
    parse = request_type.FromString

    async def handle(request: bytes, context: "Context") -> bytes:
        entered = False
        try:
            gate.enter(request)
            entered = True
            return (await run(_for_call(doors, context), _parsed(parse, request))).SerializeToString()
        except Exception as error:
            return await _abort(context, error, path)
        finally:
            if entered:
                gate.leave()

    return handle


def _watch(doors: Doors, gate: Gate) -> Any:
    async def handle(request: bytes, context: "Context") -> AsyncIterator[bytes]:
        entered = False
        try:
            gate.enter(request)
            entered = True
            async for event in watch_conditions(doors, _parsed(weft.WatchConditionsRequest.FromString, request)):
                yield event.SerializeToString()
        except Exception as error:
            await _abort(context, error, WATCH)
        finally:
            if entered:
                gate.leave()

    return handle


def _for_call(doors: Doors, context: "Context") -> Doors:
    """What the caller's metadata say of how to work for it."""
    for key, value in context.invocation_metadata() or ():
        if key == OVERRIDE and value == "yes":
            return replace(doors, network=doors.network.overriding_reach_tests())
    return doors


def _parsed(parse: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return parse(request)
    except DecodeError:
        raise codes.MALFORMED_MESSAGE.refusal("the request's bytes are not the message that the call takes") from None


async def _abort(context: "Context", error: Exception, path: str) -> NoReturn:
    answer = answer_to(error, path)
    await context.abort(answer.code, answer.message, answer.metadata)
