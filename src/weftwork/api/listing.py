"""What a list request says of its pages, for the action that makes them."""

from collections.abc import Callable
from typing import Any, Protocol, TypedDict, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from weftwork.actions.network import Stored
from weftwork.actions.pages import Order, Sift
from weftwork.api.filters import filter_of, order_of
from weftwork.rpc import decode

T = TypeVar("T")


class _Listing(Protocol):
    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...
    @property
    def filter(self) -> str: ...
    @property
    def order_by(self) -> str: ...


class Paging(TypedDict):
    page_size: int
    page_token: str
    sift: Sift[Any] | None


def paging(request: _Listing, kind: type[Message], told: Callable[[Stored[Any]], Message]) -> Paging:
    """Of a list of things that are told as messages of a kind. Refusals INVALID_PAGE_TOKEN, INVALID_FILTER."""
    asked = decode.page(request)
    return {**asked, "sift": _sift(request, kind, told) if request.filter or request.order_by else None}


def _sift(request: _Listing, kind: type[Message], told: Callable[[Stored[Any]], Message]) -> Sift[Any]:
    descriptor = cast("Descriptor", kind.DESCRIPTOR)
    test = filter_of(request.filter, descriptor) if request.filter else None
    parts = order_of(request.order_by, descriptor) if request.order_by else ()

    def matches(stored: Stored[Any]) -> bool:
        assert test is not None
        return test(told(stored))

    def rank(stored: Stored[Any]) -> tuple[str | int | float, ...]:
        message = told(stored)
        return tuple(part.of(message) for part in parts)

    order: Order[Any] | None = None
    if parts:
        words = ",".join(f"{'.'.join(part.path)} {'desc' if part.falls else 'asc'}" for part in parts)
        order = Order(words, rank, tuple(part.falls for part in parts))
    return Sift(matches if test else None, order)
