"""The REST server: listens beside gRPC's, in the same loop, and hands requests to the door."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from weftwork.access.caller import Transport
from weftwork.api.calls import Calls
from weftwork.api.listening import UNIX, check_reach, make_room, remove_sockets
from weftwork.api.rest.door import RestDoor, refused
from weftwork.api.rest.pages import routes
from weftwork.api.rest.problems import problem_of
from weftwork.api.rest.protocol import BoundedHttp
from weftwork.api.rest.tls_listener import LiveContext, Place, TlsListener
from weftwork.api.rest.watching_over import watching_over
from weftwork.api.tls import TlsFiles
from weftwork.base import codes
from weftwork.base.errors import Failure
from weftwork.seams.figures import Figures

BACKLOG = 2048
STOP_S = 5
IDLE_S = 60
"""How long a connection without a request is kept."""


def application(calls: Calls, transport: Transport, figures: Figures | None = None) -> ASGIApp:
    """Everything that is served over HTTP, on sockets of one kind."""
    all_pages = [*routes(), *watching_over(calls, transport, figures)]
    pages = Starlette(routes=all_pages, exception_handlers={HTTPException: _refuse})
    door = RestDoor(calls, transport)
    known = frozenset(route.path for route in all_pages)

    async def everything(scope: Scope, receive: Receive, send: Send) -> None:
        await (pages if scope["path"] in known else door)(scope, receive, send)

    return everything


async def _refuse(request: Request, error: Exception) -> Any:
    """What Starlette refuses: methods of pages."""
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return refused(problem_of(codes.METHOD_NOT_ALLOWED.refusal("a page is only read"), request.url.path), **headers)


class RestServer:
    def __init__(self, servers: "list[tuple[_Uvicorn, socket.socket]]", addresses: tuple[str, ...]) -> None:
        """Use `serve_rest`."""
        self._servers = [one for one, _ in servers]
        self._serving = [asyncio.create_task(one.serve([listening]), name="REST") for one, listening in servers]
        self.addresses = addresses

    async def stop(self) -> None:
        """No new calls; those in flight have a moment to end. Sockets are removed."""
        for one in self._servers:
            one.should_exit = True
        await asyncio.gather(*self._serving)
        await asyncio.to_thread(remove_sockets, self.addresses)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, tls: LiveContext | None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, which knows TCP only when it is given sockets."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = []
        for one in sockets or ():
            if self._tls is not None:
                self.servers.append(TlsListener(one, self._tls, self._protocol))  # type: ignore[arg-type]
                continue
            make = loop.create_unix_server if one.family == socket.AF_UNIX else loop.create_server
            self.servers.append(await make(self._protocol, sock=one, backlog=BACKLOG))
        self.started = True

    def _protocol(self, place: Place | None = None) -> asyncio.Protocol:
        return BoundedHttp(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, place=place
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the node's."""
        yield


async def serve_rest(
    calls: Calls, addresses: Sequence[str], figures: Figures | None = None, tls: TlsFiles | None = None
) -> RestServer:
    """Without figures, its metrics are those of the calls.

    Listen on `host:port` (port 0: any free one), over TLS if there are files for it, and `unix:/path` (mode 0600); the
    server's `addresses` say where.

    Failures ADDRESS_UNAVAILABLE when one of them cannot be had, and TLS_UNAVAILABLE; Refusal TLS_REQUIRED.
    """
    for address in addresses:
        if not address.startswith(UNIX):
            check_reach(address, has_tls=tls is not None)
    live = _live(tls) if tls else None
    sockets = [await _listen(address) for address in addresses]
    servers = [(_server(calls, one, figures, live), one) for one in sockets]
    server = RestServer(servers, tuple(map(_told, addresses, sockets)))
    await asyncio.sleep(0)
    return server


def _live(files: TlsFiles) -> LiveContext:
    try:
        return LiveContext(files)
    except (OSError, ssl.SSLError) as error:
        raise Failure("TLS_UNAVAILABLE", f"{files.certificate}: {error}") from None


def _server(calls: Calls, listening: socket.socket, figures: Figures | None, tls: LiveContext | None) -> _Uvicorn:
    if listening.family == socket.AF_UNIX:
        transport, tls = Transport.SOCKET, None
    else:
        transport = Transport.LOOPBACK if tls is None else Transport.TLS
    config = uvicorn.Config(
        application(calls, transport, figures),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=STOP_S,
        backlog=BACKLOG,
    )
    return _Uvicorn(config, tls)


async def _listen(address: str) -> socket.socket:
    try:
        if address.startswith(UNIX):
            return await asyncio.to_thread(_listen_unix, Path(address.removeprefix(UNIX)))
        return await _listen_tcp(address)
    except OSError as error:
        raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen on {address}: {error.strerror}") from None


async def _listen_tcp(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    found = await asyncio.get_running_loop().getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, where = found[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(where)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def _listen_unix(path: Path) -> socket.socket:
    """The socket is ours alone from its first moment."""
    make_room(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def _told(address: str, listening: socket.socket) -> str:
    if address.startswith(UNIX):
        return address
    return f"{address.rpartition(':')[0]}:{listening.getsockname()[1]}"
