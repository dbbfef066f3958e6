"""The newest changes, in memory and shared by all watchers: only a slow one reads history from the disk.

A watcher is a position in this log, not a queue of its own: a thousand slow watchers cost no memory.
"""

from collections import deque
from typing import NamedTuple

Pair = tuple[str, bytes | None]
"""A key and what was written to it; None for a removal."""


class Entry(NamedTuple):
    """One revision: its pairs in the order they were written, and how many bytes they take when packed."""

    revision: int
    pairs: list[Pair]
    size_bytes: int


class RecentChanges:
    """The last revisions without a gap, bounded in number and in bytes."""

    def __init__(self, *, revisions_max: int = 4096, bytes_max: int = 16 * 1024 * 1024) -> None:
        self._entries: deque[Entry] = deque()
        self._size_bytes = 0
        self._revisions_max = revisions_max
        self._bytes_max = bytes_max

    def extend(self, entries: list[Entry]) -> None:
        """Append what follows the newest revision; the oldest are forgotten to stay in bounds."""
        for entry in entries:
            self._entries.append(entry)
            self._size_bytes += entry.size_bytes
        while self._entries and (len(self._entries) > self._revisions_max or self._size_bytes > self._bytes_max):
            self._size_bytes -= self._entries.popleft().size_bytes

    def following(self, revision: int, limit: int) -> list[Entry] | None:
        """Up to `limit` entries from `revision` + 1 on; None when that one is not (or no longer) here."""
        if not self._entries:
            return None
        # Counted from the newest, where watchers usually are and a deque finds its items at once.
        start = revision - self._entries[-1].revision
        if not -len(self._entries) <= start < 0:
            return None
        return [self._entries[index] for index in range(start, min(start + limit, 0))]
