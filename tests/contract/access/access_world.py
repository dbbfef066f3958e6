"""A server with logins, tokens and TLS, over a real store, and an issuer beside it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weftwork.actions.network import Network
from weftwork.api.rest.server import serve_rest
from weftwork.api.server import serve
from weftwork.apps.entrance import open_entrance
from weftwork.apps.settings import Settings
from weftwork.client import Client
from weftwork.client.client import Tls
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.insight import ControllerInsight
from weftwork.testing.certificates import Authority, Pair
from weftwork.testing.network_kit import network_at


@dataclass(slots=True)
class Served:
    """`admin` came by the socket."""

    network: Network
    admin: Client
    address: str
    ca: Authority
    pair: Pair
    refusals: Any
    rest: str
    stack: AsyncExitStack

    async def client(self, bearer: str = "", certificate: Pair | None = None, ca: Path | None = None) -> Client:
        own = (certificate.certificate.read_bytes(), certificate.key.read_bytes()) if certificate else (None, None)
        tls = Tls((ca or self.ca.certificate).read_bytes(), *own)
        client = await Client.connect(self.address, bearer=bearer, tls=tls, timeout_s=5.0, attempts=1)
        return await self.stack.enter_async_context(client)


@asynccontextmanager
async def served(folder: Path, ca: Authority, **changed: Any) -> AsyncIterator[Served]:
    """On TLS at loopback, unless the settings say otherwise."""
    pair = ca.issue("server", "127.0.0.1")
    settings = replace(Settings(server_tls_certificate=str(pair.certificate), server_tls_key=str(pair.key)), **changed)
    socket = f"unix:{folder}/api.sock"
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(network_at(folder))
        entrance = await stack.enter_async_context(open_entrance(settings, network))
        server = await stack.enter_async_context(
            await serve(
                network=network,
                conditions=ConditionBoard(network.view, None, network.clock),
                insight=ControllerInsight(network.store, network.view, network.reach, None),
                addresses=[socket, "127.0.0.1:0"],
                entrance=entrance,
            )
        )
        admin = await stack.enter_async_context(await Client.connect(socket))
        tls = entrance.tls.files if entrance.tls else None
        rest = await stack.enter_async_context(await serve_rest(server.calls, ["127.0.0.1:0"], tls=tls))
        yield Served(network, admin, server.addresses[1], ca, pair, entrance.refusals, rest.addresses[0], stack)
