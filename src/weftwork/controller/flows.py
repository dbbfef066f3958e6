"""Logged packets, told to the owners of the ports they are about, and to nobody else.

What is remembered is bounded for each project, and lost with the process: it is telemetry, and a tenant that wants it
for long follows it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent, lodgers_of
from weftwork.model.port import Port
from weftwork.program.flow_log import ALLOWED, hidden, is_hidden
from weftwork.seams.flows import Flow, FlowSource, FlowsSeen, Seen

REMEMBERED = 2000
"""Flows of one project."""
PER_S = 200.0
"""Of one project; twice as many at once."""
TOLD_AT_ONCE = 500
INDEX_S = 1.0
"""How long a port that is new may not be known, at most."""


@dataclass(slots=True)
class _Log:
    """Of one project. `number` is the last one's."""

    flows: deque[Flow] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    number: int = 0
    tokens: float = 2 * PER_S
    filled_at: float = 0.0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def has_room(self, now: float) -> bool:
        self.tokens = min(2 * PER_S, self.tokens + (now - self.filled_at) * PER_S)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class _Ports:
    """Of one VPC, whoever owns them: by device and by address."""

    revision: int
    made_at: float
    by_device: dict[str, Port]
    by_address: dict[str, Port]


class FlowBoard:
    """Implements `seams.flows.FlowLogs`. Belongs to the event loop of its view."""

    def __init__(self, view: IntentView) -> None:
        self._view = view
        self._logs: dict[ProjectKey, _Log] = {}
        self._ports: dict[str, _Ports] = {}
        self._homes: dict[str, ProjectKey] = {}

    async def run(self, source: FlowSource) -> None:
        """Listens where flow logs are on, until cancelled."""
        changes = self._view.subscribe()
        self._follow(source)
        async for change in changes:
            if any(key.kind in source.followed_kinds for key in change.keys):
                self._follow(source)

    def _follow(self, source: FlowSource) -> None:
        vpcs = (project.vpc for project in self._view.intent.values())
        self._homes = {vpc.netns: vpc.owner for vpc in vpcs if vpc is not None and vpc.flow_log}
        self._ports = {scope: ports for scope, ports in self._ports.items() if scope in self._homes}
        self._logs = {
            owner: log for owner, log in self._logs.items() if (kept := self._view.intent.get(owner)) and kept.vpc
        }
        source.follow(frozenset(self._homes))

    def take(self, seen: Sequence[Seen]) -> None:
        now = time.monotonic()
        for one in seen:
            for port, direction in self._whose(one, now):
                self._note(one, port, direction, now)

    def _whose(self, seen: Seen, now: float) -> Iterator[tuple[Port, Literal["egress", "ingress"]]]:
        """Whose port was judged; of what passes, those at both ends. Whoever spoofs is known by the device."""
        home = self._home(seen.scope)
        if home is None:
            return
        ports = self._ports_of(seen.scope, home, now)
        sender = ports.by_device.get(seen.device) or ports.by_address.get(seen.source)
        receiver = ports.by_address.get(seen.destination)
        if seen.reason == ALLOWED:
            out, in_ = seen.side != "in", seen.side != "out"
            yield from ((sender, "egress"),) if sender and out and _is_on(seen.host, sender) else ()
            yield from ((receiver, "ingress"),) if receiver and in_ and _is_on(seen.host, receiver) else ()
        elif receiver and (seen.side == "in" or not sender):
            yield receiver, "ingress"
        elif sender:
            yield sender, "egress"

    def _home(self, scope: str) -> ProjectIntent | None:
        owner = self._homes.get(scope)
        return self._view.intent.get(owner) if owner else None

    def _ports_of(self, scope: str, home: ProjectIntent, now: float) -> _Ports:
        found = self._ports.get(scope)
        if found is None or (found.revision != self._view.changed_at and now - found.made_at > INDEX_S):
            found = self._ports[scope] = self._index(home, now)
        return found

    def _index(self, home: ProjectIntent, now: float) -> _Ports:
        assert home.vpc is not None
        here = [port for port in home.ports.values() if not port.lender]
        here += lodgers_of(self._view.intent, home.vpc.owner)
        by_address = {str(address): port for port in here for address in port.addresses}
        return _Ports(self._view.changed_at, now, {port.device: port for port in here}, by_address)

    def _note(self, seen: Seen, port: Port, direction: Literal["egress", "ingress"], now: float) -> None:
        """For the port's owner, if it wants its own logged: whoever lends the subnet cannot ask for that."""
        project = self._view.intent.get(port.owner)
        flow_log = project.vpc.flow_log if project and project.vpc else None
        if flow_log is None or (seen.reason == ALLOWED and not flow_log.allowed):
            return
        home = self._home(seen.scope)
        sample = home.vpc.flow_log.sample if home and home.vpc and home.vpc.flow_log else flow_log.sample
        log = self._logs.setdefault(port.owner, _Log(filled_at=now))
        if not log.has_room(now):
            return
        log.number += 1
        log.flows.append(
            Flow(
                number=log.number,
                at_ms=seen.at_ns // 1_000_000,
                port=port.id,
                port_name=port.name,
                direction=direction,
                verdict="allowed" if seen.reason == ALLOWED else "dropped",
                reason=seen.reason,
                policy=_policy_of(home, seen.policy) if home and port.owner == port.home else "",
                protocol=seen.protocol,
                source=seen.source,
                destination=seen.destination,
                source_port=seen.source_port,
                destination_port=seen.destination_port,
                length=seen.length,
                sample=sample,
            )
        )
        log.news.set()

    def recent(self, owner: ProjectKey, *, port: str, verdict: str, since_ms: int, limit: int) -> tuple[Flow, ...]:
        log = self._logs.get(owner)
        if log is None:
            return ()
        found = [one for one in log.flows if one.at_ms >= since_ms and _is_wanted(one, port, verdict)]
        return tuple(found[-limit:])

    async def watch(self, owner: ProjectKey, *, port: str, verdict: str, since_ms: int) -> AsyncIterator[FlowsSeen]:
        """Bounded by what is remembered: who reads slowly misses the oldest, and is told how many."""
        log = self._logs.setdefault(owner, _Log(filled_at=time.monotonic()))
        at = log.number
        if since_ms and (old := self.recent(owner, port=port, verdict=verdict, since_ms=since_ms, limit=REMEMBERED)):
            yield FlowsSeen(old)
        while True:
            if log.number == at:
                log.news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(INDEX_S):
                        await log.news.wait()
                log = self._logs.setdefault(owner, log)
                continue
            new = [one for one in log.flows if one.number > at]
            missed = log.number - at - len(new)
            at = log.number
            wanted = tuple(one for one in new if _is_wanted(one, port, verdict))
            if wanted or missed:
                yield FlowsSeen(wanted, missed)


def _is_on(host: str, port: Port) -> bool:
    """What passes is judged on the hosts of both ends: each tells of its own ports."""
    return not host or (port.attachment is not None and port.attachment.host == host)


def _policy_of(home: ProjectIntent, said: str) -> str:
    """By its name, if that had no room where the packet was logged."""
    if not is_hidden(said):
        return said
    return next((name for name in home.policies if hidden(name) == said), "")


def _is_wanted(flow: Flow, port: str, verdict: str) -> bool:
    return port in ("", flow.port) and verdict in ("", flow.verdict)
