"""The hosts of the fleet as the controller keeps them: one publisher each, and how each of them is."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from weftwork.actions.view import IntentView
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Shelf
from weftwork.compiler.settings import Routing
from weftwork.compiler.slices import Compile
from weftwork.controller.fleet_view import FleetView
from weftwork.controller.publisher import Publisher
from weftwork.controller.remote_link import RemoteLink
from weftwork.controller.review import Judge
from weftwork.model.host import Host, HostFacts, is_gateway
from weftwork.seams.channel import Report
from weftwork.seams.clock import Clock
from weftwork.seams.fleet import AgentSession, HostState
from weftwork.seams.flows import Seen
from weftwork.seams.lease import Term

log = logging.getLogger(__name__)

LOST_S = 4.0
"""How long nothing may be heard of a host: beats come every second."""
LOOK_S = 0.5

Lower = Callable[[Host, HostFacts, Routing | None], Compile]
"""How to compile for a host."""

Route = Callable[[Host, Iterable[Host]], Routing | None]
"""With whom a host speaks BGP, of all there are; None where programs alone say where ports are."""


def no_routing(host: Host, hosts: Iterable[Host]) -> Routing | None:
    return None


@dataclass(slots=True)
class FleetHost:
    """`heard_at_s` is of the event loop's clock; 0 before the first time. `since_s` is of `is_ready`."""

    host: Host
    link: RemoteLink
    publisher: Publisher | None = None
    publishing: asyncio.Task[None] | None = None
    heard_at_s: float = 0.0
    is_ready: bool = False
    since_s: int = 0
    was_ready: bool = False
    waiting: set[str] = field(default_factory=set)
    routing: Routing | None = None


class FleetController:
    """Implements `seams.fleet.Fleet`. `start` it, `follow` meanwhile, and `run` while this server leads."""

    def __init__(
        self,
        view: IntentView,
        clock: Clock,
        lower: Lower,
        make_judge: Callable[[Host], Judge | None],
        authority: str,
        route: Route = no_routing,
    ) -> None:
        self._route = route
        self._view = view
        self._clock = clock
        self._lower = lower
        self._make_judge = make_judge
        self._authority = authority
        self._cut = FleetView(view)
        self._shelf = Shelf()
        self._hosts: dict[str, FleetHost] = {}
        self._term: Term | None = None
        self._changed = asyncio.Event()
        self._gateways: frozenset[IPv4Address] = frozenset()
        self.reported: Callable[[Report], None] = lambda report: None
        self.published: Callable[[FleetHost], None] = lambda host: None
        self.joined: Callable[[FleetHost], None] = lambda host: None
        self.seen: Callable[[Sequence[Seen]], None] = lambda seen: None

    @property
    def hosts(self) -> Mapping[str, FleetHost]:
        return self._hosts

    def authority(self) -> str:
        return self._authority

    def capturer(self, host: str) -> RemoteLink:
        there = self._hosts.get(host)
        if there is None:
            raise codes.HOST_NOT_FOUND.refusal(f"there is no host {host!r}")
        return there.link

    def hosts_of(self, owner: ProjectKey) -> frozenset[str]:
        return self._cut.hosts_of(owner)

    def start(self) -> None:
        self._cut.start(self._view)
        self._view.hosts_changed = self._changed.set
        self._sync()

    async def follow(self) -> None:
        """Follow which hosts there are, and who is lost. Until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            self._changed.clear()
            self._sync()
            self._look()

    async def run(self, term: Term) -> None:
        """Publish to all hosts, until the term is over or we are cancelled."""
        self._term = term
        self._changed.set()
        self._sync()
        try:
            await term.over()
        finally:
            self._term = None
            for one in self._hosts.values():
                self._stop(one)

    def connect(self, host: str) -> RemoteLink:
        """Its agent is here. One that is silent is taken for gone. Refusals HOST_NOT_FOUND, AGENT_ALREADY_CONNECTED."""
        self._sync()
        there = self._hosts.get(host)
        if there is None:
            raise codes.HOST_NOT_FOUND.refusal(f"there is no host {host!r}")
        if there.link.is_connected and there.is_ready:
            raise codes.AGENT_ALREADY_CONNECTED.refusal(f"an agent of {host} is connected, and answers")
        there.link.connected(False)
        there.link.connected(True)
        self.heard(host)
        return there.link

    def heard(self, name: str) -> None:
        """A host said something."""
        there = self._hosts.get(name)
        if there is not None:
            there.heard_at_s = asyncio.get_running_loop().time()
            self._look()

    def left(self, host: str, session: AgentSession) -> None:
        there = self._hosts.get(host)
        if there is not None and there.link is session:
            there.link.connected(False)
            self._look()

    def state_of(self, host: str) -> HostState:
        there = self._hosts.get(host)
        if there is None:
            return HostState(False, "NOT_KNOWN", "this server has not heard of the host yet", 0)
        reason, message = self._why_not_ready(there)
        return HostState(
            is_ready=there.is_ready,
            reason=reason,
            message=message,
            since_s=there.since_s,
            generation=there.link.report.generation,
            desired_generation=there.link.generation,
            resources=there.link.resources,
            failures=len(there.link.report.failures),
            routing="evpn" if there.routing else "static",
            sessions=there.link.report.sessions,
        )

    def _why_not_ready(self, there: FleetHost) -> tuple[str, str]:
        if there.is_ready:
            return "", ""
        if not there.host.identity:
            return "NOT_JOINED", "no agent has joined as this host; `weft host add NAME --again` makes a new token"
        if not there.heard_at_s:
            return "NOT_CONNECTED", "its agent was not heard of since this server started"
        if there.link.is_connected:
            silent = asyncio.get_running_loop().time() - there.heard_at_s
            return "LOST", f"nothing was heard of its agent for {silent:.0f} s; what it forwards, it goes on forwarding"
        return "LOST", "its agent is not connected; what it forwards, it goes on forwarding"

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for name, there in self._hosts.items():
            ready = there.link.is_connected and now - there.heard_at_s < LOST_S
            if ready != there.is_ready:
                there.is_ready, there.since_s = ready, self._clock.now_s()
                log.log(logging.INFO if ready else logging.WARNING, "host %s is %s", name, "ready" if ready else "lost")

    def _sync(self) -> None:
        wanted = {name: host for name, (host, _) in self._view.hosts.items()}
        self._cut.hosts_changed()
        self._seat(frozenset(host.underlay for host in wanted.values() if is_gateway(host)))
        for name in self._hosts.keys() - wanted.keys():
            gone = self._hosts.pop(name)
            self._stop(gone)
            gone.link.connected(False)
        for name, host in wanted.items():
            there = self._hosts.get(name)
            if there is None:
                there = self._hosts[name] = FleetHost(host, RemoteLink(name, self._take))
                there.link.seen = lambda seen: self.seen(seen)
                self.joined(there)
            routing = self._route(host, wanted.values())
            if there.host.facts != host.facts or there.routing != routing:
                self._stop(there)
            there.routing = routing
            if there.host.identity != host.identity:
                there.link.connected(False)
            there.host = host
            if self._term is not None and there.publishing is None and host.facts is not None:
                self._publish(there, host.facts, self._term)

    def _seat(self, gateways: frozenset[IPv4Address]) -> None:
        """Each gateway is told of all: when one comes or goes, they are all compiled for anew."""
        if gateways != self._gateways:
            self._gateways = gateways
            for there in self._hosts.values():
                if is_gateway(there.host):
                    self._stop(there)

    def _publish(self, there: FleetHost, facts: HostFacts, term: Term) -> None:
        view = self._cut.of(there.host.name)
        lower, judge = self._lower(there.host, facts, there.routing), self._make_judge(there.host)
        there.publisher = Publisher(view, lower, there.link, judge, shelf=self._shelf)
        self.published(there)
        there.publishing = asyncio.create_task(there.publisher.run(term), name=f"publisher of {there.host.name}")

    def _stop(self, there: FleetHost) -> None:
        if there.publishing is not None:
            there.publishing.cancel()
            there.publishing = None

    def _take(self, report: Report) -> None:
        self.reported(report)
