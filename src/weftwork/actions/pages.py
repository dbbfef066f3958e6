"""Pages of a list: what is behind the last thing of the page before. A page is no snapshot of the pages before it.

So a thing that stays is shown once, whatever comes and goes meanwhile.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Generic, TypeVar

import msgspec

from weftwork.actions.network import Stored
from weftwork.base import codes

PAGE_SIZE = 100
PAGE_SIZE_MAX = 1000
AT_ONCE = 200
"""Things looked at before others have their turn."""

T = TypeVar("T")
Rank = tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_page_token` is empty on the last page."""

    items: tuple[Stored[T], ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """`words` is the order as it was asked for; `falling` says of each part of a rank whether it falls."""

    words: str
    rank: Callable[[Stored[T]], Rank]
    falling: tuple[bool, ...]

    def compare(self, one: tuple[Rank, str], other: tuple[Rank, str]) -> int:
        """Negative when `one` comes first; in the end, the name decides."""
        for mine, theirs, falls in zip(one[0], other[0], self.falling, strict=True):
            if mine != theirs:
                return -1 if (mine < theirs) is not falls else 1  # type: ignore[operator]
        return (one[1] > other[1]) - (one[1] < other[1])


@dataclass(frozen=True, slots=True)
class Sift(Generic[T]):
    """Which things of a list are shown, and in which order; without one, in that of their names."""

    matches: Callable[[Stored[T]], bool] | None = None
    order: Order[T] | None = None


Get = Callable[[str], Stored[T] | None]


async def page_of(
    names: Sequence[str], get: Get[T], page_size: int, page_token: str, sift: Sift[T] | None = None
) -> Page[T]:
    """Of names in their order. Refusal INVALID_PAGE_TOKEN."""
    size = min(page_size or PAGE_SIZE, PAGE_SIZE_MAX)
    if sift is not None and sift.order is not None:
        return await _in_order(names, get, size, page_token, sift, sift.order)
    start = bisect_right(names, _name_in(page_token)) if page_token else 0
    if sift is not None and sift.matches is not None:
        return await _matching(names, start, get, size, sift.matches)
    shown = names[start : start + size]
    items = tuple(one for name in shown if (one := get(name)) is not None)
    return Page(items, _token_of(shown[-1]) if start + size < len(names) else "")


async def _matching(
    names: Sequence[str], start: int, get: Get[T], size: int, matches: Callable[[Stored[T]], bool]
) -> Page[T]:
    """Looks no further than to what fills the page: whether more of it matches is the next page's affair."""
    items: list[Stored[T]] = []
    for at in range(start, len(names)):
        if (at - start) % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        thing = get(names[at])
        if thing is None or not matches(thing):
            continue
        items.append(thing)
        if len(items) == size:
            return Page(tuple(items), _token_of(names[at]) if at + 1 < len(names) else "")
    return Page(tuple(items), "")


async def _in_order(
    names: Sequence[str], get: Get[T], size: int, page_token: str, sift: Sift[T], order: Order[T]
) -> Page[T]:
    behind = _rank_in(page_token, order) if page_token else None
    found: list[tuple[Rank, str, Stored[T]]] = []
    for at, name in enumerate(names):
        if at % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        thing = get(name)
        if thing is None or (sift.matches is not None and not sift.matches(thing)):
            continue
        rank = order.rank(thing)
        if behind is None or order.compare((rank, name), behind) > 0:
            found.append((rank, name, thing))

    def compare(one: tuple[Rank, str, Stored[T]], other: tuple[Rank, str, Stored[T]]) -> int:
        return order.compare(one[:2], other[:2])

    found.sort(key=cmp_to_key(compare))
    shown = found[:size]
    items = tuple(thing for _, _, thing in shown)
    return Page(items, _token_behind(order, shown[-1][0], shown[-1][1]) if len(found) > size else "")


def _token_of(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def _name_in(token: str) -> str:
    try:
        name = urlsafe_b64decode(token.encode("ascii")).decode()
    except ValueError:
        name = ""
    if not name or _token_of(name) != token:
        raise _invalid()
    return name


def _token_behind(order: Order[T], rank: Rank, name: str) -> str:
    return urlsafe_b64encode(msgspec.json.encode([order.words, list(rank), name])).decode()


def _rank_in(token: str, order: Order[T]) -> tuple[Rank, str]:
    try:
        words, rank, name = msgspec.json.decode(
            urlsafe_b64decode(token.encode("ascii")), type=tuple[str, tuple[str | int | float, ...], str]
        )
    except ValueError:
        raise _invalid() from None
    if words != order.words or len(rank) != len(order.falling):
        raise _invalid()
    return rank, name


def _invalid() -> Exception:
    return codes.INVALID_PAGE_TOKEN.refusal("the page token is not one of this list's", field="page_token")
