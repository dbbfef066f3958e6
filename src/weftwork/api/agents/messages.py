"""What is said to agents and by them, as messages of their wire."""

from collections.abc import Sequence
from typing import get_args

from weftwork.base import codes
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.program.resource import Program
from weftwork.rpc import programs
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.seams.bundle import BundleFile
from weftwork.seams.capture import Captured, Capturing
from weftwork.seams.channel import Report, Session
from weftwork.seams.fleet import AgentSession, Asked, CaptureAsked, Ceased, FilesAsked, FlowsFollowed, Question, Told
from weftwork.seams.flows import Seen, Side

TEXT_MAX = 256
"""Of a word that an agent says of a packet."""


def message_of(update: Told | Asked) -> pb.ServerMessage:
    match update:
        case Told():
            return _program(update)
        case Question(number, scopes):
            asked = pb.Observe(question=number, everything=scopes is None, scopes=sorted(scopes or ()))
            return pb.ServerMessage(observe=asked)
        case CaptureAsked(number, wanted):
            return pb.ServerMessage(
                capture=pb.Capture(
                    question=number,
                    scope=wanted.scope,
                    device=wanted.device,
                    expression=wanted.expression,
                    seconds=wanted.seconds,
                    packets=wanted.packets,
                    bytes=wanted.data_bytes,
                    snap_length=wanted.snap_length,
                )
            )
        case FilesAsked(number):
            return pb.ServerMessage(collect_files=pb.CollectFiles(question=number))
        case Ceased(number):
            return pb.ServerMessage(cease=pb.Cease(question=number))
        case FlowsFollowed(scopes):
            return pb.ServerMessage(follow_flows=pb.FollowFlows(scopes=sorted(scopes)))


def take(session: AgentSession, host: str, message: pb.AgentMessage) -> None:
    """Whatever an agent said."""
    match message.WhichOneof("message"):
        case "report":
            failures = {tuple(one.key): Failure(one.code, one.message) for one in message.report.failures}
            bgp = tuple(Session(one.peer, one.state, one.prefixes) for one in message.report.sessions)
            session.take(Report(host, message.report.generation, failures, bgp))
        case "observed":
            session.answered(message.observed.question, _outcome(message.observed))
        case "captured":
            _take_captured(session, message.captured)
        case "flows":
            session.saw(_seen(message.flows.flows))
        case "file":
            _take_file(session, message.file)


def _program(told: Told) -> pb.ServerMessage:
    change = told.change
    return pb.ServerMessage(
        program=pb.ProgramUpdate(
            generation=change.generation,
            term=change.term,
            complete=change.complete,
            added=programs.encode(change.added),
            removed=programs.encode(change.removed),
            digest=told.digest.to_bytes(8, "big"),
        )
    )


def _outcome(observed: pb.Observed) -> Program | Failure:
    if observed.failure_code:
        return Failure(observed.failure_code, observed.failure)
    try:
        return programs.decode(observed.resources)
    except ValueError as error:
        return Failure("PROGRAM_NOT_UNDERSTOOD", str(error))


def _take_captured(session: AgentSession, captured: pb.Captured) -> None:
    if captured.refusal_code:
        session.ended(captured.question, _refusal(captured.refusal_code, captured.refusal))
        return
    packets = tuple(Captured(one.at_ns, one.length, one.data) for one in captured.packets)
    session.told_part(captured.question, Capturing(packets, captured.missed, captured.ended))
    if captured.ended:
        session.ended(captured.question, None)


def _refusal(code: str, message: str) -> Refusal:
    known = codes.ALL.get(code)
    return known.refusal(message) if known else Refusal(Kind.UNAVAILABLE, code, message)


def _take_file(session: AgentSession, part: pb.FilePart) -> None:
    if part.name:
        session.told_part(part.question, BundleFile(part.name, part.data.decode(errors="replace")))
    else:
        session.ended(part.question, None)


def _seen(flows: Sequence[pb.SeenFlow]) -> list[Seen]:
    return [
        Seen(
            scope=one.scope[:TEXT_MAX],
            at_ns=one.at_ns,
            side=_side(one.side),
            reason=one.reason[:TEXT_MAX],
            policy=one.policy[:TEXT_MAX],
            device=one.device[:TEXT_MAX],
            protocol=one.protocol[:TEXT_MAX],
            source=one.source[:TEXT_MAX],
            destination=one.destination[:TEXT_MAX],
            source_port=one.source_port & 0xFFFF,
            destination_port=one.destination_port & 0xFFFF,
            length=one.length,
        )
        for one in flows
    ]


def _side(text: str) -> Side:
    return next((side for side in get_args(Side) if side == text), "out")
