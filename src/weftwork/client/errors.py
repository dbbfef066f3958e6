"""What a call can fail with: exceptions by whose turn it is, with everything the server said as plain values."""

from collections.abc import Sequence

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

STATUS_KEY = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"


class ApiError(Exception):
    """A refused or failed call. Its class says what kind of no it is.

    `reason` is the stable code (`CIDR_OVERLAP`), `hint` what to do next, `field` the request's field it speaks of,
    `dependents` the objects that stand in the way, one line each. `retry_after_s` is the server's word on when to try
    again; 0 if none. `request_id` is how the server's log calls the request; empty if it did not answer.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        hint: str = "",
        field: str = "",
        dependents: Sequence[str] = (),
        retry_after_s: float = 0.0,
        request_id: str = "",
    ) -> None:
        super().__init__(f"{reason}: {message}" + (f" {hint}" if hint else ""))
        self.code = code
        self.reason = reason
        self.message = message
        self.hint = hint
        self.field = field
        self.dependents = tuple(dependents)
        self.retry_after_s = retry_after_s
        self.request_id = request_id


class Invalid(ApiError):
    """The request cannot be meant, or names what cannot be: `field` says where."""


class NotFound(ApiError):
    """It is not there, or not for this caller."""


class Conflict(ApiError):
    """It is there already, something depends on it (`dependents`), or somebody was faster."""


class Denied(ApiError):
    """The caller's role does not do."""


class NotAuthenticated(ApiError):
    """The call does not say who makes it, or not believably."""


class Exhausted(ApiError):
    """No room: a quota, a range that is full, or more calls than one tenant may make."""


class Unavailable(ApiError):
    """The server is away, or not ready; it was asked again until the time was over."""


class TimeIsOver(ApiError):
    """It may have been done all the same."""


class HistoryCompacted(ApiError):
    """The revision to go on from is not kept any more."""


_CLASSES: dict[grpc.StatusCode, type[ApiError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Invalid,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimeIsOver,
    grpc.StatusCode.OUT_OF_RANGE: HistoryCompacted,
}


def api_error(error: grpc.aio.AioRpcError) -> ApiError:
    """What the server said; where it said nothing (it is away, the time is over), what gRPC says."""
    code, message = error.code(), error.details() or ""
    kind = _CLASSES.get(code, ApiError)
    status = _status(error)
    if status is None:
        return kind(code, _REASONS.get(code, code.name), message, hint=_HINTS.get(code, ""))
    info, bad, precondition, retry = ErrorInfo(), BadRequest(), PreconditionFailure(), RetryInfo()
    for detail in status.details:
        for known in (info, bad, precondition, retry):
            detail.Unpack(known)
    hint = info.metadata.get("hint", "")
    return kind(
        code,
        info.reason or code.name,
        (status.message.removesuffix(hint).rstrip() if hint else status.message),
        hint=hint,
        field=bad.field_violations[0].field if bad.field_violations else "",
        dependents=[violation.subject for violation in precondition.violations],
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds(),
        request_id=_request_id(error),
    )


_REASONS = {
    grpc.StatusCode.UNAVAILABLE: "SERVER_UNREACHABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    grpc.StatusCode.UNIMPLEMENTED: "NOT_IMPLEMENTED",
}
_HINTS = {
    grpc.StatusCode.UNAVAILABLE: "Is the server running, and is its address right?",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The call may still have been carried out: look before you repeat it.",
    grpc.StatusCode.UNIMPLEMENTED: "The server is older than this client.",
}


def _request_id(error: grpc.aio.AioRpcError) -> str:
    return next((str(value) for key, value in error.trailing_metadata() or () if key == REQUEST_ID), "")


def _status(error: grpc.aio.AioRpcError) -> Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                return None
    return None
