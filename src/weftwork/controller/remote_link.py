"""The controller's end of the line to an agent on another host: what the host is to hold, and how far it has been told.

Publishing never waits for the host. Whoever was told up to a generation, and holds just that, is told what changed
since, as far back as changes are kept; everybody else the whole program. A host that does not listen costs the memory
of these changes and nobody's time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from weftwork.base.errors import Failure, Refusal
from weftwork.controller.remote_streams import FILES_BYTES_MAX, FILES_S, FIRST_S, PACKETS_BYTES_MAX, Part, Streams
from weftwork.program.resource import Program, Resource
from weftwork.rpc.programs import MODULUS, digest_of
from weftwork.seams.bundle import BundleFile
from weftwork.seams.capture import Capturing, Wanted
from weftwork.seams.channel import ProgramChange, Report, ReportSink
from weftwork.seams.fleet import Asked, CaptureAsked, Ceased, FilesAsked, FlowsFollowed, Question, Told
from weftwork.seams.flows import Seen

KEPT_MAX = 256
"""Changes, of each host."""
OBSERVE_S = 10.0
SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class _At:
    """A program that a host may have."""

    generation: int
    term: int
    digest: int = 0


def _at(told: Told) -> _At:
    """What a host has that was told this."""
    return _At(told.change.generation, told.change.term, told.digest)


class RemoteLink:
    """Implements `seams.channel.AgentLink`. One session at a time reads from it."""

    def __init__(self, host: str, sink: ReportSink) -> None:
        self._host = host
        self._sink = sink
        self._program: set[Resource] | None = None
        self._digest = 0
        self._last = _At(0, 0)
        self._base = _At(0, 0)
        self._kept: deque[Told] = deque(maxlen=KEPT_MAX)
        self._first = 0
        self._news = asyncio.Event()
        self._questions: deque[Asked] = deque()
        self._answers: dict[int, asyncio.Future[Program]] = {}
        self._numbers = count(1)
        self._session = 0
        self._streams = Streams()
        self._followed: frozenset[str] = frozenset()
        self.seen: Callable[[Sequence[Seen]], None] = lambda seen: None
        self.report = Report(host, 0)
        self.is_connected = False

    @property
    def host(self) -> str:
        return self._host

    @property
    def resources(self) -> int:
        return len(self._program or ())

    @property
    def generation(self) -> int:
        """What the host is to be at."""
        return self._last.generation

    def publish(self, change: ProgramChange) -> None:
        self._last = _At(change.generation, change.term)
        if change.complete:
            self._program = set(change.added)
            self._digest = digest_of(change.added)
            self._first += len(self._kept) + 1
            self._kept.clear()
            self._base = _At(change.generation, change.term, self._digest)
        else:
            assert self._program is not None, "the first change is complete"
            self._program -= change.removed
            self._program |= change.added
            self._digest = (self._digest + digest_of(change.added) - digest_of(change.removed)) % MODULUS
            if len(self._kept) == KEPT_MAX:
                self._base = _at(self._kept[0])
                self._first += 1
            self._kept.append(Told(change, self._digest))
        self._news.set()

    async def updates(self, generation: int, term: int, digest: int) -> AsyncIterator[Told | Asked]:
        """What to tell a host that has this; without end. Whoever read before hears no more."""
        self._session += 1
        session = self._session
        self._news.set()
        if self._followed:
            self._questions.appendleft(FlowsFollowed(self._followed))
        position = self._position(generation, term, digest)
        while session == self._session:
            self._news.clear()
            while self._questions:
                yield self._questions.popleft()
            if self._program is not None:
                if position is None or position < self._first:
                    position = self._first + len(self._kept)
                    whole = ProgramChange(self._last.generation, True, frozenset(self._program), term=self._last.term)
                    yield Told(whole, self._digest)
                    continue
                if position < self._first + len(self._kept):
                    told = self._kept[position - self._first]
                    position += 1
                    yield told
                    continue
            await self._news.wait()

    def _position(self, generation: int, term: int, digest: int) -> int | None:
        """Behind the change that leads to just that; None for what is not known."""
        wanted = _At(generation, term, digest)
        for place in range(len(self._kept) - 1, -1, -1):
            if _at(self._kept[place]) == wanted:
                return self._first + place + 1
        return self._first if self._base == wanted else None

    def take(self, report: Report) -> None:
        self.report = report
        self._news.set()
        self._sink(report)

    def connected(self, is_connected: bool) -> None:
        self.is_connected = is_connected
        if not is_connected:
            self._session += 1
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(self._unreachable())
            self._answers.clear()
            self._questions.clear()
            self._streams.end_all(self._unreachable())
            self._news.set()

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        if not self.is_connected:
            raise self._unreachable()
        question = Question(next(self._numbers), scopes)
        answer: asyncio.Future[Program] = asyncio.get_running_loop().create_future()
        self._answers[question.number] = answer
        self._ask(question)
        try:
            async with asyncio.timeout(OBSERVE_S):
                return await answer
        except TimeoutError:
            raise self._unreachable() from None
        finally:
            self._answers.pop(question.number, None)

    def answered(self, number: int, outcome: Program | Failure) -> None:
        answer = self._answers.get(number)
        if answer is None or answer.done():
            return
        if isinstance(outcome, Failure):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    async def capture(self, wanted: Wanted) -> AsyncGenerator[Capturing, None]:
        """Implements `seams.capture.Capturer`. Failure HOST_UNREACHABLE, at the beginning or in the midst of it."""
        number = next(self._numbers)
        async for part in self._bit_by_bit(number, CaptureAsked(number, wanted), PACKETS_BYTES_MAX):
            assert isinstance(part, Capturing)
            yield part

    async def files(self) -> AsyncGenerator[BundleFile, None]:
        """Pieces of what the host tells of itself, each file's in order. Failure HOST_UNREACHABLE."""
        number = next(self._numbers)
        room = FILES_BYTES_MAX
        async with asyncio.timeout(FILES_S):
            async for part in self._bit_by_bit(number, FilesAsked(number), FILES_BYTES_MAX):
                assert isinstance(part, BundleFile)
                room -= len(part.text)
                if room < 0:
                    return
                yield part

    async def _bit_by_bit(self, number: int, asked: Asked, room_bytes: int) -> AsyncGenerator[Part, None]:
        if not self.is_connected:
            raise self._unreachable()
        with self._streams.opened(number, room_bytes) as stream:
            self._ask(asked)
            try:
                async for part in stream.read(FIRST_S):
                    yield part
            finally:
                if self.is_connected and not stream.is_over:
                    self._ask(Ceased(number))

    def told_part(self, number: int, part: Part) -> None:
        self._streams.put(number, part)

    def ended(self, number: int, refusal: Refusal | None) -> None:
        self._streams.end(number, refusal)

    def follow_flows(self, scopes: frozenset[str]) -> None:
        """Of these VPCs its logged packets go to `seen`; also after it connects anew."""
        if scopes != self._followed:
            self._followed = scopes
            if self.is_connected:
                self._ask(FlowsFollowed(scopes))

    def saw(self, seen: Sequence[Seen]) -> None:
        """What nobody asked for is not passed on."""
        self.seen([replace(one, host=self._host) for one in seen if one.scope in self._followed])

    def _ask(self, asked: Asked) -> None:
        self._questions.append(asked)
        self._news.set()

    async def settle(self) -> bool:
        """It is asked now and then: nobody tells when a report comes."""
        wanted, deadline = self.generation, asyncio.get_running_loop().time() + SETTLE_S
        while self.report.generation < wanted:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _unreachable(self) -> Failure:
        return Failure("HOST_UNREACHABLE", f"the agent of {self._host} is not connected")
