"""A real server over a real store in a thread of its own. Only what the hosts say is the test's."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from cli_kit import run
from click.testing import Result

from weftwork.actions.network import Network, NetworkSettings
from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.tokens import TokenBook
from weftwork.actions.view import IntentView
from weftwork.api.entrance import Entrance
from weftwork.api.guard import Guard
from weftwork.api.identity.bearers import Bearers
from weftwork.api.identity.desk import LoginDesk
from weftwork.api.identity.logins import Logins
from weftwork.api.server import serve
from weftwork.controller.reach_changes import reach_changes
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.seams.conditions import Condition, ConditionChange, Status
from weftwork.seams.insight import Action, Leak, PlannedStep, PlanPreview, TargetState, TargetSummary
from weftwork.seams.store import Remove, Write
from weftwork.store.sqlite import SqliteStore

START_S = 20.0

NO_AGENT = Condition("Programmed", Status.UNKNOWN, "NO_AGENT", "no agent is connected to this server", 0, 0)
PROGRAMMED = Condition("Programmed", Status.TRUE, "", "", 0, 0)
STUCK = Condition("Programmed", Status.FALSE, "NETNS_NOT_FOUND", "there is no namespace web1", 0, 0)

CREATE = PlannedStep("node1", Action.CREATE, "weft-100", "link", "Link(tap1)")
REPLACE = PlannedStep("node1", Action.REPLACE, "weft-100", "chain", "Chain(new)", "Chain(old)")
DELETE = PlannedStep("node1", Action.DELETE, "weft-101", "link", "Link(tap2)")


class Clock:
    def now_s(self) -> int:
        return 1_700_000_000


@dataclass
class Hosts:
    """What the hosts say: the seams Conditions and Insight, filled by the test."""

    view: IntentView
    reach: ReachBoard
    programmed: Condition = NO_AGENT
    steps: tuple[PlannedStep, ...] = ()
    summaries: tuple[TargetSummary, ...] = ()
    state: TargetState = field(default_factory=lambda: TargetState((), (), ()))
    found_leaks: tuple[Leak, ...] = ()

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        accepted = Condition("Accepted", Status.TRUE, "", "", revision, 0)
        said = self.programmed
        return (accepted, Condition(said.type, said.status, said.reason, said.message, revision, 0))

    async def watch(self) -> AsyncIterator[ConditionChange]:
        async for change in self.view.subscribe():
            for key in change.keys:
                revision = self.view.revision_of(key)
                yield ConditionChange(key, self.of(key, revision) if revision else ())

    async def plan(self, writes: tuple[Write, ...]) -> PlanPreview:
        lines = []
        for write in writes:
            if key := parse_thing_key(write.key):
                sign = "-" if isinstance(write, Remove) else "~" if self.view.revision_of(key) else "+"
                lines.append(f"{sign} {key.kind} {key.owner}" + (f"/{key.name}" if key.name else ""))
        return PlanPreview(tuple(lines), self.steps, reach_changes(self.reach, self.view, writes))

    async def targets(self) -> tuple[TargetSummary, ...]:
        return self.summaries

    async def target(self, host: str, driver: str, scope: str) -> TargetState:
        return self.state

    async def leaks(self) -> tuple[Leak, ...]:
        return self.found_leaks


@dataclass
class Weft:
    """`weft` against this server, each time in a project of its own."""

    server: str
    hosts: Hosts
    project: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def begin(self) -> None:
        """A new project, and hosts that say nothing."""
        self.project = f"acme/p{next(self._numbers)}"
        self.hosts.programmed = NO_AGENT
        self.hosts.steps = ()
        self.hosts.summaries = ()
        self.hosts.state = TargetState((), (), ())
        self.hosts.found_leaks = ()

    def __call__(self, *args: str, **env: str | None) -> Result:
        return run(*args, server=self.server, **{"WEFT_PROJECT": self.project, **env})

    def ok(self, *args: str) -> str:
        """What it prints; it must succeed."""
        result = self(*args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def rows(self, *args: str) -> list[list[str]]:
        """The cells of the table it prints, without the titles."""
        return [line.split() for line in self.ok(*args).splitlines()[1:]]


@contextmanager
def running_server(folder: Path, logins: Logins | None = None) -> Iterator[Weft]:
    """With logins it listens on loopback too, and asks for one there."""
    started: list[Weft] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        store = await SqliteStore.open(folder / "store.db")
        view = IntentView()
        await view.start(store)
        settings = NetworkSettings(external=(IPv4Network("203.0.113.0/24"),))
        address = f"unix:{folder}/api.sock"
        network = Network(store, view, Clock(), settings)
        hosts = Hosts(view, network.reach)
        tokens = TokenBook(network.clock)
        desk = LoginDesk(logins.issuer, "weft") if logins else None
        entrance = Entrance(Guard(Bearers(tokens, logins)), tokens, desk)
        addresses = [address, "127.0.0.1:0"] if logins else [address]
        server = await serve(network=network, conditions=hosts, insight=hosts, addresses=addresses, entrance=entrance)
        started.append(Weft(server.addresses[-1], hosts))
        ready.set()
        await stop.wait()
        await server.stop()
        await view.close()
        await store.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        assert ready.wait(START_S), "the server does not start"
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        loop.close()
