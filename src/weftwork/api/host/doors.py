"""Where the host's own interface is listened at: a Unix socket that asks who comes, and if wanted a port with mTLS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from weftwork.api.errors import answer_to
from weftwork.api.host import l2, l3
from weftwork.api.host.peers import PeerGate
from weftwork.base.errors import Failure
from weftwork.rpc.generated.vpc.l2 import l2_pb2
from weftwork.rpc.generated.vpc.l3 import l3_pb2
from weftwork.seams.stacks import HostNetworks

Context = grpc.aio.ServicerContext[Any, Any]
MESSAGE_BYTES_MAX = 64 << 10
"""Of a request."""
STOP_S = 1.0
_OPTIONS = (("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0))

L2 = "vpc.l2.L2Service"
L3 = "vpc.l3.L3Service"
_CALLS: Mapping[str, Mapping[str, tuple[type, Callable[[HostNetworks, Any], Awaitable[Any]]]]] = {
    L2: {
        "AddStack": (l2_pb2.StackRequest, l2.add_stack),
        "GetStack": (l2_pb2.StackRequest, l2.get_stack),
        "StackStatus": (l2_pb2.StackRequest, l2.stack_status),
        "DeleteStack": (l2_pb2.StackRequest, l2.delete_stack),
        "ListStacks": (l2_pb2.Empty, l2.list_stacks),
        "AddNIC": (l2_pb2.NicRequest, l2.add_nic),
        "UpdateNIC": (l2_pb2.NicRequest, l2.update_nic),
        "GetNIC": (l2_pb2.Nic, l2.get_nic),
        "DeleteNIC": (l2_pb2.Nic, l2.delete_nic),
        "NICStatus": (l2_pb2.Nic, l2.nic_status),
        "ListNICs": (l2_pb2.StackRequest, l2.list_nics),
    },
    L3: {
        "AddRouter": (l3_pb2.Router, l3.add_router),
        "UpdateRouter": (l3_pb2.Router, l3.update_router),
        "GetRouter": (l3_pb2.RouterRequest, l3.get_router),
        "RouterStatus": (l3_pb2.RouterRequest, l3.router_status),
        "DeleteRouter": (l3_pb2.RouterRequest, l3.delete_router),
        "ListRouters": (l2_pb2.Empty, l3.list_routers),
        "AddRoute": (l3_pb2.RouteRequest, l3.add_route),
        "DeleteRoute": (l3_pb2.RouteRequest, l3.delete_route),
    },
}


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Files in PEM; who comes has a certificate that `clients` signed."""

    address: str
    certificate: Path
    key: Path
    clients: Path


class HostServer:
    """Use `serve_host`."""

    def __init__(self, server: grpc.aio.Server, gate: PeerGate) -> None:
        self._server = server
        self._gate = gate
        self.port = 0

    async def stop(self) -> None:
        await self._gate.close()
        await self._server.stop(STOP_S)


async def serve_host(
    host: HostNetworks, *, socket: Path, inner: Path, users: frozenset[int], tls: MutualTls | None = None
) -> HostServer:
    """`users` may come by the socket, beside root and ourselves. `inner` is in a folder of ours alone.

    Failure ADDRESS_UNAVAILABLE, STATE_UNREADABLE.
    """
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers(tuple(_handlers(host)))
    await asyncio.to_thread(inner.unlink, missing_ok=True)
    gate = PeerGate(socket, inner, users)
    serving = HostServer(server, gate)
    try:
        server.add_insecure_port(f"unix:{inner}")
        if tls is not None:
            serving.port = server.add_secure_port(tls.address, await asyncio.to_thread(_credentials, tls))
    except RuntimeError:
        where = tls.address if tls else inner
        raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen on {where}: it is in use, or not ours") from None
    await server.start()
    await gate.open()
    return serving


def _credentials(tls: MutualTls) -> grpc.ServerCredentials:
    try:
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], tls.clients.read_bytes(), require_client_auth=True)
    except OSError as error:
        raise Failure("STATE_UNREADABLE", f"{error.filename}: {error.strerror}") from None


def _handlers(host: HostNetworks) -> list[grpc.GenericRpcHandler]:
    methods: dict[str, dict[str, Any]] = {
        service: {name: _unary(host, f"{service}/{name}", *one) for name, one in calls.items()}
        for service, calls in _CALLS.items()
    }
    methods[L2]["WatchStacks"] = _watch(host)
    return [grpc.method_handlers_generic_handler(service, them) for service, them in methods.items()]


def _unary(
    host: HostNetworks, name: str, kind: Any, call: Callable[[HostNetworks, Any], Awaitable[Any]]
) -> "grpc.RpcMethodHandler[Any, Any]":
    async def answer(request: Any, context: Context) -> Any:
        try:
            return await call(host, request)
        except Exception as error:
            await _abort(context, error, name)

    return grpc.unary_unary_rpc_method_handler(answer, kind.FromString, _bytes_of)


def _watch(host: HostNetworks) -> "grpc.RpcMethodHandler[Any, Any]":
    async def answer(request: l2_pb2.Empty, context: Context) -> AsyncIterator[l2_pb2.StackChange]:
        await context.send_initial_metadata(())  # Whoever waits for this knows that it misses nothing.
        try:
            async for change in l2.watch_stacks(host, request):
                yield change
        except Exception as error:
            await _abort(context, error, "WatchStacks")

    return grpc.unary_stream_rpc_method_handler(answer, l2_pb2.Empty.FromString, _bytes_of)


async def _abort(context: Context, error: Exception, name: str) -> None:
    told = answer_to(error, name)
    await context.abort(told.code, told.message, told.metadata)


def _bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())
