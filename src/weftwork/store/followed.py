"""What one server knows of a store that it shares with others: the newest changes, once for all of its watches.

A follower (one per store and process) fills it; a watch is a position in it, and one that is behind reads history.
"""

import asyncio
import heapq
import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from weftwork.seams.store import Change, Event
from weftwork.store.recent import Entry

_SLICE = 256

History = Callable[[int], Awaitable[list[Entry]]]
"""The entries that follow a revision, some of them, without a gap. Raises Compacted."""


class Followed:
    """Holds every change with a revision above `floor`; revisions rise, and need not be dense.

    Those of one moment came at once: a watch tells them without a pause in between, so that nobody decides on some of
    them.
    """

    def __init__(
        self, *, revisions_max: int = 4096, bytes_max: int = 16 * 1024 * 1024, moment_of: Callable[[int], int] = int
    ) -> None:
        self._moment_of = moment_of
        self.revision = 0
        """Everything up to it was seen."""
        self.floor = 0
        self.seen = 0
        """How many changes, in all."""
        self._entries: deque[Entry] = deque()
        self._size_bytes = 0
        self._revisions_max = revisions_max
        self._bytes_max = bytes_max
        self._waiting: set[asyncio.Future[None]] = set()
        self._arrivals: list[tuple[int, int, asyncio.Future[None]]] = []
        """Whoever waits for one revision, lowest first: each is woken once, however many there are."""
        self._tickets = itertools.count()
        self.is_over = False

    def begin(self, revision: int) -> None:
        """Nothing is known of what lies before: in the beginning, and when the follower lost its place."""
        self._entries.clear()
        self._size_bytes = 0
        self.floor = self.revision = revision
        self._wake()

    def extend(self, entries: list[Entry], revision: int) -> None:
        """What follows the revision seen last, up to `revision`."""
        self._entries.extend(entries)
        self.seen += len(entries)
        self._size_bytes += sum(entry.size_bytes for entry in entries)
        self.revision = revision
        while len(self._entries) > self._revisions_max or self._size_bytes > self._bytes_max:
            oldest = self._entries.popleft()
            self._size_bytes -= oldest.size_bytes
            self.floor = oldest.revision
        self._wake()

    def newest(self, prefix: str = "") -> int:
        """The revision of the last change under `prefix`, as far as one is remembered; else 0."""
        for entry in reversed(self._entries):
            if any(key.startswith(prefix) for key, _ in entry.pairs):
                return entry.revision
        return 0

    async def reached(self, revision: int, timeout_s: float) -> bool:
        """Whether everything up to `revision` was seen in time."""
        if self.revision < revision and not self.is_over:
            loop = asyncio.get_running_loop()
            arrival: asyncio.Future[None] = loop.create_future()
            heapq.heappush(self._arrivals, (revision, next(self._tickets), arrival))
            late = loop.call_later(timeout_s, _release, arrival)
            try:
                await arrival
            finally:
                late.cancel()
        return self.revision >= revision

    async def watch(self, prefix: str, after: int, history: History) -> AsyncIterator[Change]:
        position = after
        while not self.is_over:
            if position >= self.revision:
                await self._news()
                continue
            entries = await history(position) if position < self.floor else self._following(position)
            for entry in entries:
                position = entry.revision
                if change := _change_under(prefix, entry):
                    yield change
            if not entries:
                position = max(position, self.revision)
            await asyncio.sleep(0)

    def end(self) -> None:
        """Watches end; whoever waits is told."""
        self.is_over = True
        self._wake()

    def _following(self, position: int) -> list[Entry]:
        start = bisect_right(self._entries, position, key=_revision)
        end = min(start + _SLICE, len(self._entries))
        while 0 < end < len(self._entries) and self._are_at_once(end - 1, end):
            end += 1
        return [self._entries[index] for index in range(start, end)]

    def _are_at_once(self, one: int, other: int) -> bool:
        return self._moment_of(self._entries[one].revision) == self._moment_of(self._entries[other].revision)

    def _wake(self) -> None:
        """Watches first: whoever waited for a revision finds that the views have seen it."""
        for waiting in self._waiting:
            _release(waiting)
        while self._arrivals and (self.is_over or self._arrivals[0][0] <= self.revision):
            _release(heapq.heappop(self._arrivals)[2])

    async def _news(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)


def _release(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _revision(entry: Entry) -> int:
    return entry.revision


def _change_under(prefix: str, entry: Entry) -> Change | None:
    """What of it a watch of `prefix` sees; None for nothing."""
    events = tuple(Event(key, value) for key, value in entry.pairs if key.startswith(prefix))
    return Change(entry.revision, events) if events else None
