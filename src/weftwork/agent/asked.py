"""What a server asks of a host beside programs: packets of a port, logged packets, files for whoever helps.

Only about what the host's program holds, and with bounds of the host's own: a server that asks too much is refused.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

from weftwork.base import codes
from weftwork.base.errors import Failure, Refusal
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.seams.bundle import Bundler
from weftwork.seams.capture import Capturer, Capturing, Wanted
from weftwork.seams.flows import FlowSource, Seen, TakeSeen

log = logging.getLogger(__name__)

PIECE_BYTES = 256 * 1024
FLOWS_AT_ONCE = 200
GOING_ON_MAX = 16
"""Questions that are answered bit by bit."""


class Holdings(Protocol):
    """What the host is to hold by its server's word."""

    def has_device(self, scope: str, name: str) -> bool: ...

    def has_scope(self, scope: str) -> bool: ...


class Offers(Protocol):
    """What a host can do beside programs."""

    @property
    def capturer(self) -> Capturer: ...

    @property
    def bundler(self) -> Bundler: ...

    def flows(self, take: TakeSeen) -> FlowSource: ...


class Asked:
    """Of one session: `close` it with the session. Answers wait in `out`, which is bounded: nothing piles up here."""

    def __init__(self, offers: Offers, holdings: Holdings, out: "asyncio.Queue[pb.AgentMessage]") -> None:
        self._offers = offers
        self._holdings = holdings
        self._out = out
        self._going_on: dict[int, asyncio.Task[None]] = {}
        self._flows: FlowSource | None = None
        self._followed: frozenset[str] = frozenset()

    def obey(self, message: pb.ServerMessage) -> None:
        match message.WhichOneof("message"):
            case "capture":
                self._begin(message.capture.question, self._capture(message.capture))
            case "collect_files":
                self._begin(message.collect_files.question, self._collect(message.collect_files.question))
            case "cease":
                going_on = self._going_on.get(message.cease.question)
                if going_on is not None:
                    going_on.cancel()
            case "follow_flows":
                self._follow(frozenset(message.follow_flows.scopes))

    async def close(self) -> None:
        going_on = list(self._going_on.values())
        for one in going_on:
            one.cancel()
        await asyncio.gather(*going_on, return_exceptions=True)
        if self._flows is not None:
            await asyncio.to_thread(self._flows.close)
            self._flows = None

    def _begin(self, question: int, answer: Coroutine[Any, Any, None]) -> None:
        task = self._going_on[question] = asyncio.create_task(answer)
        task.add_done_callback(lambda done: self._ended(question, done))

    def _ended(self, question: int, done: "asyncio.Task[None]") -> None:
        self._going_on.pop(question, None)
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("a question of the server was not answered to its end: %s", error)

    async def _capture(self, asked: pb.Capture) -> None:
        try:
            if len(self._going_on) > GOING_ON_MAX:
                raise codes.TOO_MANY_CAPTURES.refusal(f"{GOING_ON_MAX} captures are going on at this host")
            if not self._holdings.has_device(asked.scope, asked.device):
                raise codes.CAPTURE_UNAVAILABLE.refusal("the host has no such port")
            wanted = Wanted(
                scope=asked.scope,
                device=asked.device,
                expression=asked.expression,
                seconds=asked.seconds,
                packets=asked.packets,
                data_bytes=asked.bytes,
                snap_length=asked.snap_length,
            )
            async with aclosing(self._offers.capturer.capture(wanted)) as capturing:  # type: ignore[type-var]
                async for some in capturing:
                    await self._out.put(pb.AgentMessage(captured=_told(asked.question, some)))
        except (Refusal, Failure) as error:
            refused = pb.Captured(question=asked.question, refusal_code=error.code, refusal=error.message)
            await self._out.put(pb.AgentMessage(captured=refused))

    async def _collect(self, question: int) -> None:
        async for file in self._offers.bundler.files():
            data = file.text.encode(errors="replace")
            for start in range(0, max(len(data), 1), PIECE_BYTES):
                piece = pb.FilePart(question=question, name=file.name, data=data[start : start + PIECE_BYTES])
                await self._out.put(pb.AgentMessage(file=piece))
        await self._out.put(pb.AgentMessage(file=pb.FilePart(question=question)))

    def _follow(self, scopes: frozenset[str]) -> None:
        """Those that are not here yet, too: the program that brings them may be on its way."""
        if self._flows is None:
            if not scopes:
                return
            self._flows = self._offers.flows(self._take)
        self._followed = scopes
        self._flows.follow(scopes)

    def _take(self, seen: Sequence[Seen]) -> None:
        """What finds no room is lost: it is telemetry, and reports come first."""
        wanted = [one for one in seen if one.scope in self._followed and self._holdings.has_scope(one.scope)]
        for start in range(0, len(wanted), FLOWS_AT_ONCE):
            some = [_flow(one) for one in wanted[start : start + FLOWS_AT_ONCE]]
            with suppress(asyncio.QueueFull):
                self._out.put_nowait(pb.AgentMessage(flows=pb.SeenFlows(flows=some)))


def _told(question: int, some: Capturing) -> pb.Captured:
    packets = [pb.CapturedFrame(at_ns=one.at_ns, length=one.length, data=one.data) for one in some.packets]
    return pb.Captured(question=question, packets=packets, missed=some.missed, ended=some.ended)


def _flow(one: Seen) -> pb.SeenFlow:
    return pb.SeenFlow(
        scope=one.scope,
        at_ns=one.at_ns,
        side=one.side,
        reason=one.reason,
        policy=one.policy,
        device=one.device,
        protocol=one.protocol,
        source=one.source,
        destination=one.destination,
        source_port=one.source_port,
        destination_port=one.destination_port,
        length=one.length,
    )
