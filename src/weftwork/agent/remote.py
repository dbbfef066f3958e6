"""An agent whose server is elsewhere: it is told programs over one stream, and reports over the same.

It holds what it was told last, on its disk too, and goes on with it while nobody tells it anything: forwarding never
depends on the server. What is older than what it has is refused, and told.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import grpc
import grpc.aio

from weftwork.agent.asked import Asked, Offers
from weftwork.agent.host_loop import HostLoop
from weftwork.agent.joining import channel_of, renew, renewal_due
from weftwork.agent.state import Identity, Kept, StateFolder
from weftwork.base.errors import Failure, Refusal
from weftwork.program.linux import Namespace, PortLink
from weftwork.program.resource import Key, Program, Resource
from weftwork.reconciler.reconciler import Pace, Progress
from weftwork.rpc import programs
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import agent_pb2_grpc
from weftwork.seams.channel import ProgramChange, Session
from weftwork.seams.driver import Driver

log = logging.getLogger(__name__)

BEAT_S = 1.0
SILENCE_S = 5.0
"""A server that says nothing for so long is not there: it beats every second."""
RETRY_FIRST_S, RETRY_MAX_S = 0.1, 2.0
KEPT_AFTER_S = 0.2
"""So many changes of a moment are one write."""
MESSAGE_BYTES_MAX = 256 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
)
STALE: Key = ("target", "stale generation")
SESSIONS_S = 1.0
"""Between two looks at how BGP's sessions are."""


class RoutingBeside(Protocol):
    """Routing daemons on this host, which are followed while the agent runs."""

    async def run(self) -> None: ...

    async def sessions(self) -> tuple[Session, ...]:
        """Raises Failure."""
        ...


class NoRouting:
    async def run(self) -> None:
        return None

    async def sessions(self) -> tuple[Session, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What was probed here, for whoever compiles for us."""

    kernel: str
    filter_modes: tuple[str, ...]
    has_bridge_netfilter: bool
    has_ipv6: bool
    layouts: tuple[str, ...] = ("bridges",)


class RemoteAgent:
    """`run` it. It ends by Refusal only: when its certificate is good for no host any more, it goes on forwarding."""

    def __init__(
        self,
        identity: Identity,
        state: StateFolder,
        driver: Driver,
        facts: Facts,
        pace: Pace,
        offers: Offers,
        routing: RoutingBeside | None = None,
    ) -> None:
        self._routing = routing or NoRouting()
        self._sessions: tuple[Session, ...] = ()
        self._identity = identity
        self._offers = offers
        self._state = state
        self._facts = facts
        self.loop = HostLoop(driver, pace, self._report)
        self._program: dict[Key, Resource] | None = None
        self._generation = 0
        self._term = 0
        self._digest = 0
        self._stale: Failure | None = None
        self._out: asyncio.Queue[pb.AgentMessage] = asyncio.Queue(maxsize=64)
        self._progress = Progress(0, {})
        self._reported = asyncio.Event()
        self._kept = asyncio.Event()
        self.is_connected = False

    def suspect(self, scopes: frozenset[str]) -> None:
        """Look at these scopes now: somebody else changed something there."""
        self.loop.suspect(scopes)

    async def run(self) -> None:
        """Until cancelled. What was programmed stays."""
        kept = await asyncio.to_thread(self._state.program)
        if kept is not None:
            self._take(ProgramChange(kept.generation, True, kept.program, term=kept.term))
            log.info("took up the program of generation %d from disk", kept.generation)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.loop.run())
            tasks.create_task(self._keep())
            tasks.create_task(self._routing.run())
            tasks.create_task(self._follow_sessions())
            tasks.create_task(self._stay_connected())

    def _take(self, change: ProgramChange) -> None:
        if change.complete:
            self._program = {one.key: one for one in change.added}
            self._digest = programs.digest_of(change.added)
        else:
            assert self._program is not None, "checked by who calls"
            for one in change.removed:
                self._program.pop(one.key, None)
            self._program |= {one.key: one for one in change.added}
            more, less = programs.digest_of(change.added), programs.digest_of(change.removed)
            self._digest = (self._digest + more - less) % programs.MODULUS
        self._generation, self._term = change.generation, change.term
        self.loop.layers.tell(change)

    async def _follow_sessions(self) -> None:
        while True:
            try:
                sessions = await self._routing.sessions()
            except Failure:
                sessions = ()
            if sessions != self._sessions:
                self._sessions = sessions
                self._reported.set()
            await asyncio.sleep(SESSIONS_S)

    async def _keep(self) -> None:
        while True:
            await self._kept.wait()
            await asyncio.sleep(KEPT_AFTER_S)
            self._kept.clear()
            assert self._program is not None
            kept = Kept(self._generation, self._term, frozenset(self._program.values()))
            try:
                await asyncio.to_thread(self._state.keep_program, kept)
            except Failure as failure:
                log.warning("the program is not kept on disk: %s", failure)

    def _report(self, progress: Progress) -> None:
        self._progress = progress
        self._reported.set()

    async def _stay_connected(self) -> None:
        failed = 0
        while True:
            try:
                await self._session()
                failed = 0
            except (Failure, Refusal) as error:
                level = logging.WARNING if self.is_connected or not failed else logging.DEBUG
                log.log(level, "no contact with %s, forwarding goes on: %s", self._identity.server, error)
                failed = 0 if self.is_connected else failed + 1
            self.is_connected = False
            await asyncio.sleep(min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(failed, 8)))

    async def _session(self) -> None:
        """One connection, until it is lost. Raises Failure, Refusal."""
        async with channel_of(self._identity, _OPTIONS) as channel:
            if renewal_due(self._identity, datetime.now(UTC)):
                await self._renew(channel)
                return
            call = agent_pb2_grpc.AgentServiceStub(channel).Connect(self._messages())
            self._out = asyncio.Queue(maxsize=64)
            asked = Asked(self._offers, self, self._out)
            try:
                while True:
                    message = await self._next(call)
                    if not self.is_connected:
                        log.info("connected to %s as %s", self._identity.server, self._identity.host)
                        self.is_connected = True
                        self._reported.set()
                    await self._obey(message, asked)
                    if renewal_due(self._identity, datetime.now(UTC)):
                        await self._renew(channel)
                        return
            finally:
                call.cancel()
                await asked.close()

    async def _renew(self, channel: grpc.aio.Channel) -> None:
        self._identity = await renew(channel, self._identity)
        await asyncio.to_thread(self._state.keep_identity, self._identity)
        log.info("renewed the certificate of %s", self._identity.host)

    async def _next(self, call: "grpc.aio.StreamStreamCall[pb.AgentMessage, pb.ServerMessage]") -> pb.ServerMessage:
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await call.read()
        except TimeoutError:
            raise Failure("SERVER_SILENT", f"it said nothing for {SILENCE_S:.0f} s") from None
        except grpc.aio.AioRpcError as error:
            raise Failure("SERVER_UNREACHABLE", error.details() or str(error.code())) from None
        if not isinstance(message, pb.ServerMessage):
            raise Failure("SERVER_UNREACHABLE", "the server ended the connection")
        return message

    async def _messages(self) -> AsyncIterator[pb.AgentMessage]:
        """Hello, then reports as they come and beats between them."""
        facts = self._facts
        yield pb.AgentMessage(
            hello=pb.Hello(
                generation=self._generation,
                term=self._term,
                digest=self._digest.to_bytes(8, "big"),
                kernel=facts.kernel,
                filter_modes=facts.filter_modes,
                has_bridge_netfilter=facts.has_bridge_netfilter,
                has_ipv6=facts.has_ipv6,
                layouts=facts.layouts,
            )
        )
        answers = asyncio.ensure_future(self._out.get())
        reports = asyncio.ensure_future(self._reported.wait())
        try:
            while True:
                await asyncio.wait((answers, reports), timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if answers.done():
                    yield answers.result()
                    answers = asyncio.ensure_future(self._out.get())
                elif reports.done():
                    self._reported.clear()
                    yield self._told()
                    reports = asyncio.ensure_future(self._reported.wait())
                else:
                    yield pb.AgentMessage(beat=pb.Beat())
        finally:
            for one in (answers, reports):
                one.cancel()

    def _told(self) -> pb.AgentMessage:
        layers = self.loop.layers
        failures = {key: why for key, why in self._progress.failures.items() if not layers.is_only_asked(key)}
        if self._stale is not None:
            failures[STALE] = self._stale
        return pb.AgentMessage(
            report=pb.AgentReport(
                generation=self._progress.generation,
                failures=[
                    pb.AgentFailure(key=key, code=failure.code, message=failure.message)
                    for key, failure in failures.items()
                ],
                sessions=[
                    pb.BgpSession(peer=one.peer, state=one.state, prefixes=one.prefixes) for one in self._sessions
                ],
            )
        )

    async def _obey(self, message: pb.ServerMessage, asked: Asked) -> None:
        match message.WhichOneof("message"):
            case "program":
                self._follow(message.program)
            case "observe":
                about = message.observe
                scopes = None if about.everything else frozenset(about.scopes)
                await self._out.put(await self._observed(about.question, scopes))
            case _:
                asked.obey(message)

    def has_device(self, scope: str, name: str) -> bool:
        return isinstance((self._program or {}).get(("link", scope, name)), PortLink)

    def scopes(self) -> list[str]:
        """The namespaces of its program."""
        return sorted(one.scope for one in (self._program or {}).values() if isinstance(one, Namespace))

    def has_scope(self, scope: str) -> bool:
        return ("namespace", scope) in (self._program or {})

    def _follow(self, update: pb.ProgramUpdate) -> None:
        if (update.term, update.generation) < (self._term, self._generation):
            self._stale = Failure(
                "STALE_GENERATION", f"told generation {update.generation}, and {self._generation} is in force"
            )
            self._reported.set()
            return
        try:
            added, removed = programs.decode(update.added), programs.decode(update.removed)
        except ValueError as error:
            raise Failure("PROGRAM_NOT_UNDERSTOOD", str(error)) from None
        if not update.complete and self._program is None:
            raise Failure("PROGRAM_NOT_UNDERSTOOD", "a change of a program that is not here")
        self._take(ProgramChange(update.generation, update.complete, added, removed, term=update.term))
        if self._digest.to_bytes(8, "big") != update.digest:
            # The next hello tells a digest that the server does not know, so it tells the whole program.
            raise Failure("PROGRAM_DIFFERS", "the program is not what the server says it is")
        self._stale = None
        self._kept.set()

    async def _observed(self, question: int, scopes: frozenset[str] | None) -> pb.AgentMessage:
        try:
            found: Program = await self.loop.observe(scopes)
        except Failure as failure:
            return pb.AgentMessage(
                observed=pb.Observed(question=question, failure_code=failure.code, failure=failure.message)
            )
        return pb.AgentMessage(observed=pb.Observed(question=question, resources=programs.encode(found)))
