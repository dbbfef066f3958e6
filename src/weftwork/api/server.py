"""The gRPC server: listens, says how it is (health), says what it speaks (reflection), and hands calls on."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from weftwork.actions.network import Network
from weftwork.api.calls import CALLS_MAX, MESSAGE_BYTES_MAX, Calls, Gate
from weftwork.api.dispatch import handlers
from weftwork.api.doors import Doors
from weftwork.api.entrance import Entrance
from weftwork.api.listening import UNIX, check_reach, make_room, remove_sockets
from weftwork.api.tls import Certificates
from weftwork.base.errors import Failure
from weftwork.seams.bundle import Bundler
from weftwork.seams.capture import Capturer
from weftwork.seams.conditions import Conditions
from weftwork.seams.fleet import Fleet, NoFleet
from weftwork.seams.flows import FlowLogs
from weftwork.seams.insight import Insight
from weftwork.seams.tracer import Tracer
from weftwork.seams.vms import NoVms, Vms
from weftwork.telemetry.metrics import Metrics
from weftwork.telemetry.traces import NoSpans, Spans

STOP_S = 5.0
"""How long calls in flight may take to end when the server stops."""
_RECEIVE_MAX = 4 * MESSAGE_BYTES_MAX
"""Above our own limit, so that we refuse in our words; beyond this gRPC does, in its own."""
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", _RECEIVE_MAX),
    ("grpc.max_concurrent_streams", CALLS_MAX),  # on one connection
    ("grpc.so_reuseport", 0),  # two servers on one port are a mistake
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.max_metadata_size", 16 * 1024),
)


class Server:
    """Listens from the start; takes calls once it is told that it is ready."""

    def __init__(self, server: grpc.aio.Server, calls: Calls, health_service: Any, services: Sequence[str]) -> None:
        """Use `serve`. Other doors take `calls` too."""
        self.calls = calls
        self._server = server
        self._gate = calls.gate
        self._health = health_service
        self._services = ("", *services)
        self.addresses: tuple[str, ...] = ()

    async def set_ready(self, is_ready: bool = True) -> None:
        """Ready means that the intent view is loaded; before, calls are refused with NOT_READY."""
        self._gate.is_ready = is_ready
        state = HealthCheckResponse.SERVING if is_ready else HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self._health.set(service, state)

    @property
    def turned_away(self) -> int:
        """Calls refused because the server was not ready, or had too many."""
        return self._gate.turned_away

    async def stop(self) -> None:
        """No new calls; those in flight have a moment to end. Sockets are removed."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(STOP_S)
        await asyncio.to_thread(remove_sockets, self.addresses)

    async def wait_for_termination(self) -> None:
        await self._server.wait_for_termination()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def serve(
    *,
    network: Network,
    conditions: Conditions,
    insight: Insight,
    addresses: Sequence[str],
    tracer: Tracer | None = None,
    entrance: Entrance | None = None,
    metrics: Metrics | None = None,
    spans: Spans | None = None,
    flows: FlowLogs | None = None,
    capturer: Capturer | None = None,
    bundler: Bundler | None = None,
    fleet: Fleet | None = None,
    vms: Vms | None = None,
    is_ready: bool = True,
) -> Server:
    """Without an entrance, whoever reaches it over loopback is the administrator.

    Listen on `host:port` (port 0: any free one) and `unix:/path` (mode 0600); the server's `addresses` say where.

    Failure ADDRESS_UNAVAILABLE when one of them cannot be had; Refusal TLS_REQUIRED.
    """
    gate = Gate()
    server = grpc.aio.server(options=_OPTIONS)
    entrance = entrance or Entrance()
    doors = Doors(
        network,
        conditions,
        insight,
        tracer,
        entrance.tokens,
        entrance.login,
        flows,
        bundler,
        capturer,
        fleet or NoFleet(),
        vms or NoVms(),
    )
    calls = Calls(doors, gate, entrance.guard, entrance.refusals, metrics or Metrics(), spans or NoSpans())
    services = handlers(calls)
    for service, methods in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    health_service = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    serving = Server(server, calls, health_service, tuple(services))
    await serving.set_ready(is_ready)
    serving.addresses = tuple([await _listen(server, address, entrance.tls) for address in addresses])
    await server.start()
    return serving


async def _listen(server: grpc.aio.Server, address: str, tls: Certificates | None) -> str:
    if address.startswith(UNIX):
        return await _listen_unix(server, Path(address.removeprefix(UNIX)))
    check_reach(address, has_tls=tls is not None)
    try:
        port = server.add_secure_port(address, tls.credentials()) if tls else server.add_insecure_port(address)
    except RuntimeError:
        raise Failure(
            "ADDRESS_UNAVAILABLE", f"cannot listen on {address}: it is in use, or no address of this machine"
        ) from None
    return f"{address.rpartition(':')[0]}:{port}"


async def _listen_unix(server: grpc.aio.Server, path: Path) -> str:
    """The socket is ours alone from its first moment: whoever may connect is the administrator."""
    address = f"{UNIX}{path}"
    await asyncio.to_thread(make_room, path)
    before = os.umask(0o177)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen on {address}: {error}") from None
    finally:
        os.umask(before)
    return address
