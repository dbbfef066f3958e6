"""The one table from our errors to gRPC's and HTTP's, and how an error is told with `google.rpc.Status`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from weftwork.base import codes
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.telemetry.trail import current

log = logging.getLogger(__name__)

DOMAIN = "weftwork"
STATUS_KEY = "grpc-status-details-bin"
RETRY_AFTER_S = 1
MESSAGE_MAX = 1000
"""Bytes: an error travels in HTTP/2 headers, of which peers take 8 KiB."""
DETAIL_MAX = 200

DEPENDENTS = "dependents"
"""The detail that lists dependents, separated by a comma and a space."""
FIELD = "field"


@dataclass(frozen=True, slots=True)
class Told:
    """How an error is told on each wire."""

    grpc: grpc.StatusCode
    http: HTTPStatus


TABLE: Mapping[Kind, Told] = {
    Kind.INVALID: Told(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST),
    Kind.UNKNOWN: Told(grpc.StatusCode.NOT_FOUND, HTTPStatus.NOT_FOUND),
    Kind.EXISTS: Told(grpc.StatusCode.ALREADY_EXISTS, HTTPStatus.CONFLICT),
    Kind.CONFLICT: Told(grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.CONFLICT),
    Kind.IN_USE: Told(grpc.StatusCode.FAILED_PRECONDITION, HTTPStatus.CONFLICT),
    Kind.FORBIDDEN: Told(grpc.StatusCode.PERMISSION_DENIED, HTTPStatus.FORBIDDEN),
    Kind.UNAUTHENTICATED: Told(grpc.StatusCode.UNAUTHENTICATED, HTTPStatus.UNAUTHORIZED),
    Kind.EXHAUSTED: Told(grpc.StatusCode.RESOURCE_EXHAUSTED, HTTPStatus.CONFLICT),
    Kind.THROTTLED: Told(grpc.StatusCode.RESOURCE_EXHAUSTED, HTTPStatus.TOO_MANY_REQUESTS),
    Kind.UNAVAILABLE: Told(grpc.StatusCode.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE),
}
BY_CODE: Mapping[str, Told] = {
    code.name: Told(*statuses)
    for code, statuses in (
        # Conflicts after which one reads again and repeats: for gRPC that is ABORTED.
        (codes.REVISION_CHANGED, (grpc.StatusCode.ABORTED, HTTPStatus.PRECONDITION_FAILED)),
        (codes.TOO_MANY_CONFLICTS, (grpc.StatusCode.ABORTED, HTTPStatus.CONFLICT)),
        # What HTTP has a word of its own for.
        (codes.MESSAGE_TOO_LARGE, (grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)),
        (codes.METHOD_NOT_ALLOWED, (grpc.StatusCode.UNIMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED)),
        (codes.NOT_ACCEPTABLE, (grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.NOT_ACCEPTABLE)),
        (codes.REQUEST_TOO_SLOW, (grpc.StatusCode.DEADLINE_EXCEEDED, HTTPStatus.REQUEST_TIMEOUT)),
        (codes.UNSUPPORTED_MEDIA_TYPE, (grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)),
        (codes.HISTORY_COMPACTED, (grpc.StatusCode.OUT_OF_RANGE, HTTPStatus.GONE)),
    )
}
"""Codes that are told otherwise than their kind."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An error as gRPC sends it."""

    code: grpc.StatusCode
    message: str
    details: bytes

    @property
    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((STATUS_KEY, self.details),)


def told(error: Refusal) -> Told:
    return BY_CODE.get(error.code) or TABLE[error.kind]


def answer_to(error: BaseException, method: str) -> Answer:
    """Every error there is: a refusal, a failure, or a mistake of ours, of which the caller only gets a number."""
    match error:
        case Refusal():
            return _refused(error)
        case Failure():
            return _failed(error)
        case _:
            return _unexpected(error, method)


def _refused(error: Refusal) -> Answer:
    details: list[Message] = [_info(error.code, error.hint, error.details)]
    if field := error.details.get(FIELD):
        violation = BadRequest.FieldViolation(
            field=_cut(field, DETAIL_MAX), description=_cut(error.message, DETAIL_MAX), reason=error.code
        )
        details.append(BadRequest(field_violations=[violation]))
    if dependents := error.details.get(DEPENDENTS):
        details.append(_dependents(error.code, dependents))
    if error.kind is Kind.UNKNOWN:
        details.append(ResourceInfo(resource_type=error.code, description=_cut(error.message, DETAIL_MAX)))
    if error.kind in (Kind.UNAVAILABLE, Kind.THROTTLED):
        details.append(_retry())
    return _answer(told(error).grpc, error.message, error.hint, details)


def _failed(error: Failure) -> Answer:
    known = codes.ALL.get(error.code)
    hint = known.what_to_do if known else "Try again in a moment."
    return _answer(grpc.StatusCode.UNAVAILABLE, error.message, hint, [_info(error.code, hint, {}), _retry()])


def _unexpected(error: BaseException, method: str) -> Answer:
    request_id = current().request_id or uuid4().hex
    log.error("%s failed, request %s", method, request_id, exc_info=error)
    hint = f"Tell your operator this number: {request_id}."
    info = _info("INTERNAL", hint, {"request_id": request_id})
    return _answer(grpc.StatusCode.INTERNAL, "the server made a mistake", hint, [info])


def _info(reason: str, hint: str, details: Mapping[str, str]) -> ErrorInfo:
    metadata = {key: _cut(value, DETAIL_MAX) for key, value in details.items() if key not in (DEPENDENTS, FIELD)}
    return ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata | {"hint": hint} if hint else metadata)


def _dependents(code: str, listed: str) -> PreconditionFailure:
    return PreconditionFailure(
        violations=[PreconditionFailure.Violation(type=code, subject=one) for one in listed.split(", ")]
    )


def _retry() -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S))


def _answer(code: grpc.StatusCode, message: str, hint: str, details: list[Message]) -> Answer:
    text = f"{_cut(message, MESSAGE_MAX)} {hint}" if hint else _cut(message, MESSAGE_MAX)
    status = Status(code=code.value[0], message=text, details=[_any(one) for one in details])
    return Answer(code, text, status.SerializeToString())


def _cut(text: str, most: int) -> str:
    """At most so many bytes of it."""
    return text.encode()[:most].decode(errors="ignore")


def _any(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
