"""A server alone over a store with 1,000, 100,000 and 1,000,000 ports: its memory, its start, and one change."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure
from bench.filling import PORTS_EACH, fill, owner_of, port_id
from bench.run import Run
from weftwork.client.client import Client
from weftwork.testing.cloud import Cloud
from weftwork.testing.node import Node

SIZES, QUICK_SIZES = (1_000, 100_000, 1_000_000), (100, 200, 400)
CHANGES, WARM_UP = 50, 20
START_S = 300.0
PROJECT, SUBNET = "scale/changes", "large"


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers, as it was when it did so for the first time."""

    address: str
    ports: int
    start_s: float
    resident_kib: float
    peak_kib: float


def measure(run: Run) -> list[Figure]:
    with ExitStack() as stack:
        sizes = QUICK_SIZES if run.quick else SIZES
        few, *more = (stack.enter_context(_served(run, ports)) for ports in sizes)
        middle, most = more
        changes = asyncio.run(_all_changes((few, *more), 1 if run.quick else run.rounds))
    per_port = [one.resident_kib / one.ports for one in (few, middle, most)]
    linear = tuple(_start_per_port(few, one) for one in more)
    return [
        *(
            Figure(f"resident memory per port, {one.ports:,} ports", "KiB", (kib,), must=2.0, aim=1.0)
            for one, kib in zip(more, per_port[1:], strict=True)
        ),
        *(Figure(f"largest on the way, {one.ports:,} ports", "MiB", (one.peak_kib / 1024,)) for one in (few, *more)),
        Figure(
            f"memory of a port more, up to {most.ports:,}",
            "KiB",
            (_per_port(middle, most, middle.resident_kib, most.resident_kib),),
            (_per_port(few, middle, few.resident_kib, middle.resident_kib),),
            f"up to {middle.ports:,}",
            must=1.1,
            aim=1.0,
        ),
        *(Figure(f"start with {one.ports:,} ports", "s", (one.start_s,)) for one in (few, *more)),
        Figure(
            f"start, a port more, up to {most.ports:,}",
            "s",
            linear[1:],
            linear[:1],
            f"up to {middle.ports:,}",
            must=1.25,
        ),
        *(
            Figure(
                f"port create until a watch tells of it, {one.ports:,} ports",
                "ms",
                changes[one.ports],
                changes[few.ports],
                f"{few.ports:,} ports",
                must=1.5,
                aim=1.1,
            )
            for one in more
        ),
    ]


@contextmanager
def _served(run: Run, ports: int) -> Iterator[Served]:
    """A server over a store that was filled before it started."""
    folder = run.fresh_folder(f"ports-{ports}")
    began = time.perf_counter()
    fill(folder / "store.db", ports // PORTS_EACH)
    print(f"{ports:,} ports written in {time.perf_counter() - began:.0f} s", flush=True)
    node = Node(folder, command="server")
    began = time.perf_counter()
    node.start(timeout_s=START_S)
    start_s = time.perf_counter() - began
    try:
        _ask(node, ports)
        resident_kib, peak_kib = _memory_kib(node.pid)
        yield Served(node.address, ports, start_s, resident_kib, peak_kib)
    finally:
        node.stop()
        (folder / "store.db").unlink()


def _ask(node: Node, ports: int) -> None:
    """It knows the last port that was written."""
    number = ports // PORTS_EACH - 1
    with Cloud(node.address) as cloud:
        found = cloud.port_info(str(owner_of(number)), port_id(number, PORTS_EACH - 1))
        assert found.name == f"port{PORTS_EACH - 1}"


def _memory_kib(pid: int) -> tuple[float, float]:
    """What is in memory of the process, and the most that was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    figures = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return float(figures["VmRSS"]), float(figures["VmHWM"])


async def _all_changes(servers: tuple[Served, ...], rounds: int) -> dict[int, tuple[float, ...]]:
    """Median milliseconds of a change per round, the servers in turn, by how many ports they have."""
    for one in servers:
        async with await Client.connect(one.address) as client:
            await client.create_vpc(PROJECT, cidr="10.0.0.0/12")
            await client.create_subnet(PROJECT, SUBNET, cidr="10.8.0.0/16")
            await _change_ms(client, WARM_UP)
    found: dict[int, list[float]] = {one.ports: [] for one in servers}
    for number in range(rounds):
        for one in servers if number % 2 == 0 else reversed(servers):
            async with await Client.connect(one.address) as client:
                found[one.ports].append(await _change_ms(client, CHANGES))
    return {ports: tuple(samples) for ports, samples in found.items()}


async def _change_ms(client: Client, changes: int) -> float:
    """From the call until it was answered and a watch told of the port, one after the other."""
    took_ms: list[float] = []
    seen: dict[str, float] = {}
    news = asyncio.Event()

    async def watch() -> None:
        async for event in client.watch_conditions(PROJECT, kind="port"):
            seen.setdefault(event.resource.id, time.perf_counter())
            news.set()

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        await client.create_port(PROJECT, subnet=SUBNET, vm="first")
        await news.wait()
        for number in range(changes):
            began = time.perf_counter()
            made = await client.create_port(PROJECT, subnet=SUBNET, vm=f"vm{number}")
            answered = time.perf_counter()
            while made.id not in seen:
                news.clear()
                await news.wait()
            took_ms.append((max(answered, seen[made.id]) - began) * 1e3)
        watching.cancel()
    return statistics.median(took_ms)


def _per_port(few: Served, many: Served, before: float, after: float) -> float:
    """Of each port more; hardly anything where noise says less than nothing, in a quick run."""
    return max(1e-9, (after - before) / (many.ports - few.ports))


def _start_per_port(few: Served, many: Served) -> float:
    return _per_port(few, many, few.start_s, many.start_s)
