"""The controller of a large fleet, without kernels and without agents: one change, and what all of it costs.

Each project's ports are spread over ten hosts, so every host holds its own ports and knows all others of its projects.
"""

import asyncio
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from bench.figure import Figure
from bench.filling import CIDR, port_of
from bench.run import Run
from weftwork.actions import rows, vpcs
from weftwork.allocator.vnis import FIRST
from weftwork.apps.backends import fleet_lower
from weftwork.apps.settings import Settings
from weftwork.base.tenancy import ProjectKey
from weftwork.controller.fleet import FleetController
from weftwork.controller.judging import host_judge
from weftwork.controller.publisher import ALONE
from weftwork.controller.review import Judge
from weftwork.model.host import Host, HostFacts, Role
from weftwork.model.intent import Intent, ProjectIntent, Thing
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.vpc import Vpc
from weftwork.testing.fleets import SpreadView
from weftwork.testing.strategies import Edit
from weftwork.verifier.violation import Change, Violation

HOSTS, SOME_HOSTS = 1000, 100
PORTS_PER_HOST = 100
PORTS_EACH, HOSTS_EACH = 100, 10
"""Of each project."""
CHANGES = 200
UNDERLAY = IPv4Address("172.16.0.0")
FACTS = HostFacts("6.1", ("bridge",), has_bridge_netfilter=True, has_ipv6=True)
PAGE_KIB = 4


class _LaterJudge:
    """A host's judge, but for the first program: that takes minutes for them all, and is measured by itself."""

    def __init__(self, host: Host) -> None:
        self._judge = host_judge(host)
        self._is_first = True

    def judge(self, change: Change, intent: Intent) -> Sequence[Violation]:
        is_first, self._is_first = self._is_first, False
        return () if is_first else self._judge.judge(change, intent)

    def published(self, change: Change) -> None:
        self._judge.published(change)


class _NoClock:
    def now_s(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Cost:
    ports: int
    start_s: float
    start_cpu_s: float
    kib: float
    resources: int
    changes_ms: tuple[float, ...]
    changes_cpu_ms: float


def measure(run: Run) -> list[Figure]:
    judged = asyncio.run(_cost(run, 10, host_judge))
    few = asyncio.run(_cost(run, run.size(SOME_HOSTS, 10), _LaterJudge))
    gc.collect()
    hosts = run.size(HOSTS, 12)
    many = asyncio.run(_cost(run, hosts, _LaterJudge))
    of = f"{hosts:,} hosts, {many.ports:,} ports"
    return [
        Figure(f"one port changed until its hosts are told, p99, {of}", "ms", (_p99(many.changes_ms),), must=200.0),
        Figure(
            f"one port changed until its hosts are told, {of}",
            "ms",
            many.changes_ms,
            few.changes_ms,
            f"{few.ports:,} ports",
            must=1.5,
            aim=1.1,
            paired=False,
        ),
        Figure("processor time of one change", "ms", (many.changes_cpu_ms,), (few.changes_cpu_ms,), "fewer hosts"),
        Figure(f"all programs from nothing, {of}", "s", (many.start_s,)),
        Figure("processor time of that, per port", "ms", (_per_port(many),), (_per_port(few),), "fewer hosts"),
        Figure("the same with the first programs judged", "ms", (_per_port(judged),), (_per_port(few),), "not judged"),
        Figure("memory, per port", "KiB", (many.kib / many.ports,), (few.kib / few.ports,), "fewer hosts"),
        Figure("memory", "MiB", (many.kib / 1024,)),
        Figure("resources in all programs", "", (float(many.resources),)),
    ]


async def _cost(run: Run, hosts: int, judge: Callable[[Host], Judge]) -> Cost:
    gc.disable()  # As a server does until what it knows is in memory.
    before_kib = _resident_kib()
    view = SpreadView(intent=_intent(run, hosts), hosts=dict(_hosts(hosts)))
    lower = fleet_lower(Settings(), tuple, "")
    controller = FleetController(view, _NoClock(), lower, judge, "")  # type: ignore[arg-type]
    began, cpu = time.perf_counter(), time.process_time()
    controller.start()
    publishing = asyncio.create_task(controller.run(ALONE))
    while any(not one.link.resources for one in controller.hosts.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    start_s, start_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    kib = _resident_kib() - before_kib
    gc.freeze()
    gc.enable()
    cpu = time.process_time()
    changes_ms = [await _change_ms(view, controller, port) for port in _some_ports(run, view.intent)]
    cpu_ms = (time.process_time() - cpu) / len(changes_ms) * 1e3
    publishing.cancel()
    await asyncio.wait([publishing])
    gc.unfreeze()
    resources = sum(one.link.resources for one in controller.hosts.values())
    return Cost(hosts * PORTS_PER_HOST, start_s, start_cpu_s, kib, resources, tuple(changes_ms), cpu_ms)


async def _change_ms(view: SpreadView, controller: FleetController, port: Port) -> float:
    """Of a port's groups; until the last host that holds its project is told. Nobody else is."""
    key = rows.key_of(port)
    holders = controller.hosts_of(port.owner)
    others = {name: one.link.generation for name, one in controller.hosts.items() if name not in holders}
    changed = replace(port, groups=() if port.groups else ("default",))
    Edit(key, changed).apply(view.intent)
    view.revision += 1
    began = time.perf_counter()
    for listener in view.listeners:
        listener.add(view.revision, {key})
    while any(controller.hosts[name].link.generation < view.revision for name in holders):  # noqa: ASYNC110
        await asyncio.sleep(0)
    took_s = time.perf_counter() - began
    assert all(controller.hosts[name].link.generation == generation for name, generation in others.items())
    return took_s * 1e3


def _hosts(count: int) -> Iterator[tuple[str, tuple[Host, int]]]:
    for number in range(1, count + 1):
        name = f"h{number}"
        yield name, (Host(name, frozenset({Role.COMPUTE}), (), UNDERLAY + number, 0, identity="x", facts=FACTS), 1)


def _intent(run: Run, hosts: int) -> Intent:
    dice, names = run.dice("fleet"), [f"h{number}" for number in range(1, hosts + 1)]
    intent: Intent = {}
    for number in range(hosts * PORTS_PER_HOST // PORTS_EACH):
        owner = ProjectKey("fleet", f"p{number}")
        intent[owner] = project = ProjectIntent()
        for thing in _things(owner, number, dice.sample(names, HOSTS_EACH)):
            project.put(rows.key_of(thing), thing)
    return intent


def _things(owner: ProjectKey, number: int, hosts: list[str]) -> Iterator[Thing]:
    vpc = Vpc(owner, owner.project, CIDR, FIRST + number, 0, 0)
    yield vpc
    subnet = replace(vpcs.default_subnet(vpc, 24), vni=FIRST + 100_000 + number)
    yield subnet
    yield vpcs.default_group(vpc)
    for one in range(PORTS_EACH):
        at = Attachment(AttachmentKind.NETNS, f"n{one}", "eth0", hosts[one % HOSTS_EACH])
        yield port_of(owner, number, one, subnet.name, at)


def _some_ports(run: Run, intent: Intent) -> Iterator[Port]:
    dice = run.dice("changes")
    projects = [dice.choice(list(intent.values())) for _ in range(run.size(CHANGES, 20))]
    return (dice.choice(list(project.ports.values())) for project in projects)


def _p99(samples: tuple[float, ...]) -> float:
    return sorted(samples)[math.ceil(len(samples) * 0.99) - 1]


def _per_port(cost: Cost) -> float:
    return cost.start_cpu_s / cost.ports * 1e3


def _resident_kib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB
