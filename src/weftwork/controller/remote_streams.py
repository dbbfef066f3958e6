"""What an agent answers bit by bit: captures, and files for whoever helps.

Nobody who listens to an agent waits for those who read such an answer: what finds no room is left out, and counted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from weftwork.base.errors import Failure, Refusal
from weftwork.seams.bundle import BundleFile
from weftwork.seams.capture import Capturing

Part = Capturing | BundleFile
FIRST_S = 10.0
"""How long an agent may take to begin."""
PACKETS_BYTES_MAX = 8 << 20
FILES_BYTES_MAX = 64 << 20
"""That may wait to be read; of files, in total too."""
FILES_S = 120.0


@dataclass(slots=True)
class Stream:
    """One answer, on its way to whoever asked."""

    room_bytes: int
    parts: deque[tuple[Part, int]] = field(default_factory=deque)
    bytes_waiting: int = 0
    missed: int = 0
    error: Failure | Refusal | None = None
    is_over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, part: Part) -> None:
        size = _size_of(part)
        if self.is_over:
            return
        if self.bytes_waiting + size <= self.room_bytes:
            self.parts.append((part, size))
            self.bytes_waiting += size
        elif isinstance(part, Capturing):
            self.missed += len(part.packets) + part.missed
            if part.ended:
                self.parts.append((replace(part, packets=(), missed=0), 0))
        else:
            self.end(Failure("TOO_MUCH", f"more than {self.room_bytes >> 20} MiB wait to be read"))
        self.news.set()

    def end(self, error: Failure | Refusal | None = None) -> None:
        self.error, self.is_over = error, True
        self.news.set()

    async def read(self, first_s: float) -> AsyncGenerator[Part, None]:
        """Until its end. Raises what ended it; Failure when it does not begin."""
        try:
            async with asyncio.timeout(first_s):
                await self.news.wait()
        except TimeoutError:
            raise Failure("HOST_UNREACHABLE", f"its agent does not begin to answer within {first_s:.0f} s") from None
        while True:
            self.news.clear()
            while self.parts:
                part, size = self.parts.popleft()
                self.bytes_waiting -= size
                if isinstance(part, Capturing) and self.missed:
                    part, self.missed = replace(part, missed=part.missed + self.missed), 0
                yield part
            if self.is_over:
                break
            await self.news.wait()
        if self.error is not None:
            raise self.error


class Streams:
    """Those of one host that are going on, by the number of their question."""

    def __init__(self) -> None:
        self._open: dict[int, Stream] = {}

    @contextmanager
    def opened(self, number: int, room_bytes: int) -> Iterator[Stream]:
        stream = self._open[number] = Stream(room_bytes)
        try:
            yield stream
        finally:
            del self._open[number]

    def put(self, number: int, part: Part) -> None:
        """Of one that nobody reads any more, nothing is kept."""
        stream = self._open.get(number)
        if stream is not None:
            stream.put(part)

    def end(self, number: int, error: Failure | Refusal | None = None) -> None:
        stream = self._open.get(number)
        if stream is not None:
            stream.end(error)

    def end_all(self, error: Failure) -> None:
        for stream in self._open.values():
            stream.end(error)


def _size_of(part: Part) -> int:
    if isinstance(part, Capturing):
        return sum(len(one.data) for one in part.packets)
    return len(part.text)
