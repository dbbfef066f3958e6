"""etcd's errors: which to meet with another attempt, and the rest in our words."""

from enum import Enum

import grpc
import grpc.aio

from weftwork.base.errors import Failure


class What(Enum):
    RETRY = "it may work at another member, or a moment later"
    LOG_IN = "the token is of no use any more"
    TOO_LARGE = "the server takes no transaction that large"
    COMPACTED = "that history is gone"
    FUTURE = "that revision is still to come"
    REFUSED = "asking again cannot help"


class EtcdFailure(Failure):
    """With what etcd meant by it."""

    def __init__(self, code: str, message: str, what: What) -> None:
        super().__init__(code, message)
        self.what = what


_BY_WORDS = (
    ("invalid auth token", What.LOG_IN),
    ("revision of auth store is old", What.LOG_IN),
    ("too many operations in txn", What.TOO_LARGE),
    ("request is too large", What.TOO_LARGE),
    ("has been compacted", What.COMPACTED),
    ("is a future revision", What.FUTURE),
    ("database space exceeded", What.REFUSED),
    ("too many requests", What.RETRY),
)
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)


def what_of(error: grpc.aio.AioRpcError) -> What:
    details = error.details() or ""
    for words, what in _BY_WORDS:
        if words in details:
            return what
    return What.RETRY if error.code() in _PASSING else What.REFUSED


def failure_of(error: grpc.aio.AioRpcError, where: str) -> EtcdFailure:
    what = what_of(error)
    code = "STORE_LIMIT" if what is What.TOO_LARGE else "STORE_UNAVAILABLE"
    return EtcdFailure(code, f"{where}: {error.details() or error.code().name}", what)
