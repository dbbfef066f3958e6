"""The two doors of agents: one with a token and without a certificate, one with a certificate of the fleet's own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from weftwork.actions import hosts
from weftwork.actions.authority import Authority, host_in, signing_key
from weftwork.actions.network import Network
from weftwork.api.agents.messages import message_of, take
from weftwork.api.errors import answer_to
from weftwork.base import codes
from weftwork.base.errors import Failure, Refusal
from weftwork.model.host import HostFacts
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.seams.fleet import AgentSession, AgentSessions, Asked, Told

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

MESSAGE_BYTES_MAX = 256 << 20
"""A whole program of a large host."""
BEAT_S = 1.0
FACTS_MAX = 16
STOP_S = 1.0
OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
)
_JOIN_OPTIONS = (("grpc.max_receive_message_length", 64 << 10), *OPTIONS[2:])


@dataclass(frozen=True, slots=True)
class AgentDoors:
    """`deployment` is what hosts mark their networks with."""

    network: Network
    authority: Authority
    sessions: AgentSessions
    deployment: str
    agents_port: int = 0

    async def join(self, request: pb.JoinRequest) -> pb.JoinResponse:
        key = signing_key(request.signing_request)  # before the token is used up
        host = await hosts.join_host(self.network, token=request.token)
        certificate = self.authority.host(host.name, host.identity, key, datetime.now(UTC))
        log.info("host %s has joined", host.name)
        return pb.JoinResponse(
            host=host.name, certificate=certificate, agents_port=self.agents_port, deployment=self.deployment
        )

    async def renew(self, names: Iterable[str], request: pb.RenewRequest) -> pb.RenewResponse:
        name, identity = self.known(names)
        key = signing_key(request.signing_request)
        return pb.RenewResponse(certificate=self.authority.host(name, identity, key, datetime.now(UTC)))

    def known(self, names: Iterable[str]) -> tuple[str, str]:
        """Whose certificate it is, if it is good for a host. Refusal JOIN_REFUSED."""
        name, identity = host_in(names)
        host, _ = self.network.view.hosts.get(name, (None, 0))
        if host is None or host.identity != identity:
            raise codes.JOIN_REFUSED.refusal(f"this certificate is not good for host {name!r} any more")
        return name, identity


async def _connected(
    doors: AgentDoors, messages: AsyncIterator[pb.AgentMessage], context: "Context"
) -> AsyncIterator[pb.ServerMessage]:
    try:
        name, identity = doors.known(_names_in(context))
        hello = await _hello(messages)
        await hosts.note_facts(doors.network, name=name, facts=_facts(hello))
        session = doors.sessions.connect(name)
    except (Refusal, Failure) as error:
        await _abort(context, error, "Connect")
        return
    log.info("the agent of %s is connected, at generation %d", name, hello.generation)
    listening = asyncio.create_task(_listen(doors.sessions, session, name, messages), name=f"agent of {name}")
    is_current = _Current(doors, name, identity)
    try:
        async for message in _messages(session, hello, listening, is_current):
            yield message
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await listening
        doors.sessions.left(name, session)
        log.info("the agent of %s is gone", name)


@dataclass(frozen=True, slots=True)
class _Current:
    """Whether the certificate that came in is good still."""

    doors: AgentDoors
    name: str
    identity: str

    def __call__(self) -> bool:
        host, _ = self.doors.network.view.hosts.get(self.name, (None, 0))
        return host is not None and host.identity == self.identity


async def _messages(
    session: AgentSession, hello: pb.Hello, listening: asyncio.Task[None], is_current: Callable[[], bool]
) -> AsyncIterator[pb.ServerMessage]:
    """Until the agent goes, or is nobody's any more. A beat when there is nothing else to say."""
    updates = session.updates(hello.generation, hello.term, int.from_bytes(hello.digest, "big"))
    coming: asyncio.Future[Told | Asked] = asyncio.ensure_future(anext(updates))
    try:
        while is_current():
            await asyncio.wait((coming, listening), timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                return
            if not coming.done():
                yield pb.ServerMessage(beat=pb.Beat())
                continue
            try:
                update = coming.result()
            except StopAsyncIteration:
                return
            yield message_of(update)
            coming = asyncio.ensure_future(anext(updates))
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await coming


async def _listen(
    sessions: AgentSessions, session: AgentSession, name: str, messages: AsyncIterator[pb.AgentMessage]
) -> None:
    """What the agent says, until it says no more."""
    async for message in messages:
        sessions.heard(name)
        take(session, name, message)


async def _hello(messages: AsyncIterator[pb.AgentMessage]) -> pb.Hello:
    async for message in messages:
        if message.WhichOneof("message") == "hello":
            return message.hello
        break
    raise codes.MALFORMED_MESSAGE.refusal("the first message of an agent is a Hello")


def _facts(hello: pb.Hello) -> HostFacts:
    return HostFacts(
        hello.kernel[:256],
        tuple(hello.filter_modes)[:FACTS_MAX],
        hello.has_bridge_netfilter,
        hello.has_ipv6,
        tuple(hello.layouts)[:FACTS_MAX] or ("bridges",),
    )


def _names_in(context: "Context") -> list[str]:
    """The alternative names in the certificate that came in."""
    names = context.auth_context().get("x509_subject_alternative_name", ())
    return [name.decode(errors="replace") for name in names]


async def _answered(context: "Context", method: str, answer: Awaitable[_Answer]) -> _Answer | None:
    try:
        return await answer
    except Exception as error:
        await _abort(context, error, method)
    return None


async def _abort(context: "Context", error: Exception, method: str) -> None:
    told = answer_to(error, method)
    await context.abort(told.code, told.message, told.metadata)


class AgentServer:
    """Both doors. `address` is that of the one to join by; the other one is at the next port, or any free one."""

    def __init__(self) -> None:
        """Use `serve_agents`."""
        self._servers: list[grpc.aio.Server] = []
        self.join_port = 0
        self.agents_port = 0

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop(STOP_S) for server in self._servers))


def _join_service(doors: Callable[[], AgentDoors]) -> grpc.GenericRpcHandler:
    async def join(request: pb.JoinRequest, context: "Context") -> pb.JoinResponse | None:
        return await _answered(context, "Join", doors().join(request))

    methods = {"Join": grpc.unary_unary_rpc_method_handler(join, pb.JoinRequest.FromString, _bytes_of)}
    return grpc.method_handlers_generic_handler("weftwork.v1.JoinService", methods)


def _agent_service(doors: Callable[[], AgentDoors]) -> grpc.GenericRpcHandler:
    async def renew(request: pb.RenewRequest, context: "Context") -> pb.RenewResponse | None:
        return await _answered(context, "Renew", doors().renew(_names_in(context), request))

    async def connect(messages: AsyncIterator[pb.AgentMessage], context: "Context") -> AsyncIterator[pb.ServerMessage]:
        async for message in _connected(doors(), messages, context):
            yield message

    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Renew": grpc.unary_unary_rpc_method_handler(renew, pb.RenewRequest.FromString, _bytes_of),
        "Connect": grpc.stream_stream_rpc_method_handler(connect, pb.AgentMessage.FromString, _bytes_of),
    }
    return grpc.method_handlers_generic_handler("weftwork.v1.AgentService", methods)


def _bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())


async def serve_agents(
    *, network: Network, authority: Authority, sessions: AgentSessions, deployment: str, address: str
) -> AgentServer:
    """Failure ADDRESS_UNAVAILABLE."""
    serving = AgentServer()

    def doors() -> AgentDoors:
        return AgentDoors(network, authority, sessions, deployment, serving.agents_port)

    host, _, port = address.rpartition(":")
    own = authority.server(datetime.now(UTC))
    join, agents = (grpc.aio.server(options=options) for options in (_JOIN_OPTIONS, OPTIONS))
    join.add_generic_rpc_handlers((_join_service(doors),))
    agents.add_generic_rpc_handlers((_agent_service(doors),))
    pairs = [(own.key, own.certificate)]
    open_to_all = grpc.ssl_server_credentials(pairs)
    to_hosts = grpc.ssl_server_credentials(pairs, authority.certificate, require_client_auth=True)
    following = f"{host}:{int(port) + 1 if int(port) else 0}"
    try:
        serving.join_port = join.add_secure_port(address, open_to_all)
        serving.agents_port = agents.add_secure_port(following, to_hosts)
    except RuntimeError:
        raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen for agents on {address} and {following}") from None
    await join.start()
    await agents.start()
    serving._servers = [join, agents]
    return serving
