"""What a call can fail with: one exception, with everything the server said as plain values."""

from collections.abc import Sequence

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

STATUS_KEY = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"


class ApiError(Exception):
    """A refused or failed call.

    `reason` is the stable code (`CIDR_OVERLAP`), `field` the request's field it speaks of, `dependents` the objects
    that stand in the way, one line each. `retry_after_s` is the server's word on when to try again; 0 if none.
    `request_id` is how the server's log calls the request; empty if it did not answer.
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


def api_error(error: grpc.aio.AioRpcError) -> ApiError:
    """What the server said; where it said nothing (it is away, the time is over), what gRPC says."""
    code, message = error.code(), error.details() or ""
    status = _status(error)
    if status is None:
        return ApiError(code, _REASONS.get(code, code.name), message, hint=_HINTS.get(code, ""))
    info, bad, precondition, retry = ErrorInfo(), BadRequest(), PreconditionFailure(), RetryInfo()
    for detail in status.details:
        for known in (info, bad, precondition, retry):
            detail.Unpack(known)
    hint = info.metadata.get("hint", "")
    return ApiError(
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
