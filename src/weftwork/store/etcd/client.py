"""A lean client of etcd: several endpoints, one in use; calls that fail are made again at the next one.

Every request we send may be carried out twice without harm (see `commits.py`), so this may repeat them all.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from weftwork.base.errors import Failure
from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.rpc.generated.etcdserverpb.etcd_pb2_grpc import (
    AuthStub,
    KVStub,
    LeaseStub,
    WatchStub,
)
from weftwork.store.etcd.errors import What, failure_of, what_of

log = logging.getLogger(__name__)

ATTEMPT_S = 2.0
"""One call at one endpoint. An election of etcd's own takes about as long, at another member."""
PATIENCE_S = 20.0
"""All attempts together. Much shorter than a session's lease: see `commits.py`."""
_PAUSE_S = (0.02, 0.1, 0.3)
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),  # we repeat, knowing what may be repeated
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_HAS_LEADER = ("hasleader", "true")
"""A member that lost its leader ends our watch, so that we go to another one."""

Metadata = tuple[tuple[str, str], ...]
MethodOf = Callable[["Member"], Any]
"""Which method of a member's stubs to call."""


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """Where our keys are: `endpoints` like http://HOST:PORT or https://HOST:PORT, all keys below `prefix`."""

    endpoints: tuple[str, ...]
    prefix: str = "/weftwork/"
    user: str = ""
    password: str = field(default="", repr=False)
    authority: Path | None = None
    """With https: the authority whose certificate the server must show; None: those the system trusts."""
    certificate: Path | None = None
    private_key: Path | None = None

    def __str__(self) -> str:
        return f"etcd at {', '.join(self.endpoints)}"


class Member:
    """One endpoint, and what can be called there."""

    def __init__(self, endpoint: str, channel: grpc.aio.Channel) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.kv = KVStub(channel)
        self.watch = WatchStub(channel)
        self.lease = LeaseStub(channel)
        self.auth = AuthStub(channel)


class Etcd:
    """Belongs to the event loop that made it, until `close`."""

    def __init__(self, place: EtcdPlace) -> None:
        """Failure STORE_UNAVAILABLE when a file of TLS cannot be read. Connects with the first call."""
        self.place = place
        self._members = tuple(Member(endpoint, _channel(place, endpoint)) for endpoint in place.endpoints)
        self._current = 0
        self._token = ""
        self._authenticating = asyncio.Lock()

    async def close(self) -> None:
        for member in self._members:
            await member.channel.close()

    async def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        answer: pb.RangeResponse = await self.call("range", request, lambda member: member.kv.Range)
        return answer

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Sent until it is answered: for a request that may be carried out twice."""
        answer: pb.TxnResponse = await self.call("txn", request, lambda member: member.kv.Txn)
        return answer

    async def call(self, what: str, request: Message, method_of: MethodOf, *, patience_s: float = PATIENCE_S) -> Any:
        """EtcdFailure when no endpoint answered in time, and at once when asking again cannot help."""
        deadline = time.monotonic() + patience_s
        attempts = 0
        while True:
            try:
                return await self.attempt(request, method_of, min(ATTEMPT_S, max(deadline - time.monotonic(), 0.1)))
            except grpc.aio.AioRpcError as error:
                if what_of(error) is not What.RETRY or time.monotonic() >= deadline:
                    raise failure_of(error, f"{what} at {self.place}") from None
                log.debug("%s: %s", what, error.details())
            await asyncio.sleep(_PAUSE_S[min(attempts, len(_PAUSE_S) - 1)])
            attempts += 1

    async def attempt(self, request: Message, method_of: MethodOf, timeout_s: float = ATTEMPT_S) -> Any:
        """One try, at the endpoint in use. Raises AioRpcError; then the next try is at another one."""
        current = self._current
        for is_again in (False, True):
            member = self._members[current]
            try:
                metadata = await self._metadata(member)
                return await method_of(member)(request, timeout=timeout_s, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                what = what_of(error)
                if what is What.LOG_IN and self.place.user and not is_again:
                    self._token = ""
                    continue
                if what is What.RETRY:
                    self._leave(current)
                raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def watching(self, request: pb.WatchCreateRequest) -> AsyncIterator[AsyncIterator[pb.WatchResponse]]:
        """A watch at the endpoint in use. Raises AioRpcError, also while it is read; the next one is elsewhere."""
        current = self._current
        member = self._members[current]
        call: Any = None
        try:
            metadata = (*await self._metadata(member), _HAS_LEADER)
            call = member.watch.Watch(metadata=metadata)
            await call.write(pb.WatchRequest(create_request=request))
            yield call
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            if isinstance(error, grpc.aio.AioRpcError) and what_of(error) is What.LOG_IN:
                self._token = ""
            self._leave(current)
            raise
        finally:
            if call is not None:
                call.cancel()

    async def keep_alive(self, lease: int, timeout_s: float = ATTEMPT_S) -> int:
        """The seconds it lives from now on; 0 when it is gone. Raises AioRpcError."""

        async def once(request: pb.LeaseKeepAliveRequest, *, timeout: float, metadata: Metadata) -> int:  # noqa: ASYNC109 - as a stub's method
            call = member.lease.LeaseKeepAlive(_one(request), timeout=timeout, metadata=metadata)
            try:
                async for answer in call:
                    return answer.TTL
                return 0
            finally:
                call.cancel()

        member = self._members[self._current]
        ttl: int = await self.attempt(pb.LeaseKeepAliveRequest(ID=lease), lambda _: once, timeout_s)
        return ttl

    def _leave(self, index: int) -> None:
        """Unless somebody else has left it already."""
        if self._current == index:
            self._current = (index + 1) % len(self._members)

    async def _metadata(self, member: Member) -> Metadata:
        if not self.place.user:
            return ()
        async with self._authenticating:
            if not self._token:
                request = pb.AuthenticateRequest(name=self.place.user, password=self.place.password)
                self._token = (await member.auth.Authenticate(request, timeout=ATTEMPT_S)).token
        return (("token", self._token),)


async def _one(request: pb.LeaseKeepAliveRequest) -> AsyncIterator[pb.LeaseKeepAliveRequest]:
    yield request


def _channel(place: EtcdPlace, endpoint: str) -> grpc.aio.Channel:
    scheme, _, address = endpoint.partition("://")
    if scheme == "http":
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    authority, key, certificate = map(_contents, (place.authority, place.private_key, place.certificate))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority, key, certificate), options=_OPTIONS)


def _contents(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise Failure("STORE_UNAVAILABLE", f"{path}: {error.strerror}") from None


def put(key: bytes, value: bytes, lease: int = 0) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))


def range_of(request: pb.RangeRequest) -> pb.RequestOp:
    return pb.RequestOp(request_range=request)


def last_written(key: bytes, revision: int) -> pb.Compare:
    """The key was last written at `revision`; with 0, it is not there."""
    return pb.Compare(target=pb.Compare.MOD, result=pb.Compare.EQUAL, key=key, mod_revision=revision)
