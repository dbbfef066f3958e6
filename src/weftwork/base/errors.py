"""Whose turn is it? A Refusal is the caller's, a Failure the loop's, an AssertionError ours."""

from collections.abc import Mapping
from enum import Enum


class Kind(Enum):
    """Why a call was refused; `api/errors.py` maps each to one gRPC and one HTTP status."""

    INVALID = "invalid"
    UNKNOWN = "unknown"
    EXISTS = "exists"
    CONFLICT = "conflict"
    IN_USE = "in_use"
    FORBIDDEN = "forbidden"
    UNAUTHENTICATED = "unauthenticated"
    EXHAUSTED = "exhausted"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"


class Refusal(Exception):
    """The caller's turn: asking the same again cannot help.

    `code` is stable and listed in `base/codes`; `message` says what was wrong and `hint` what to do.
    """

    def __init__(
        self, kind: Kind, code: str, message: str, *, hint: str = "", details: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.kind = kind
        self.code = code
        self.message = message
        self.hint = hint
        self.details = dict(details or {})


class Failure(Exception):
    """The loop's turn: a target, the store or a peer did not do its part; we try again.

    `code` becomes the reason of the resource's condition.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
