"""The fleet's part of a server, put together from its settings."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from weftwork.actions.authority import Authority, authority_of
from weftwork.actions.network import Network
from weftwork.api.agents.doors import serve_agents
from weftwork.apps.backends import fleet_lower, fleet_route
from weftwork.apps.settings import Settings
from weftwork.controller.fleet import FleetController
from weftwork.controller.judging import host_judge
from weftwork.controller.remote_link import RemoteLink
from weftwork.controller.review import Judge
from weftwork.model.host import Host, is_gateway

log = logging.getLogger(__name__)


class Idle:
    """The worker of a server that has no agent in its process."""

    async def run(self) -> None:
        await asyncio.Event().wait()

    def stand_down(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class OpenedFleet:
    controller: FleetController
    authority: Authority

    def links(self) -> Mapping[str, RemoteLink]:
        return {name: there.link for name, there in self.controller.hosts.items()}

    @asynccontextmanager
    async def serving(self, settings: Settings, network: Network, deployment: str) -> AsyncIterator[None]:
        """The agents' doors are open. Failure ADDRESS_UNAVAILABLE."""
        server = await serve_agents(
            network=network,
            authority=self.authority,
            sessions=self.controller,
            deployment=deployment,
            address=settings.server_agents_listen_addr,
        )
        log.info("agents join at port %d and connect at %d", server.join_port, server.agents_port)
        try:
            yield
        finally:
            await server.stop()


async def open_fleet(settings: Settings, network: Network) -> OpenedFleet:
    authority = await authority_of(network.store)

    def judge(host: Host) -> Judge:
        return host_judge(host, settings.network_gateway_address)

    def seats() -> list[IPv4Address]:
        return sorted(host.underlay for host, _ in network.view.hosts.values() if is_gateway(host))

    controller = FleetController(
        network.view,
        network.clock,
        fleet_lower(settings, seats, authority.secret("gate")),
        judge,
        authority.certificate.decode(),
        fleet_route(settings),
    )
    return OpenedFleet(controller, authority)
