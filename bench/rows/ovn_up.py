"""From the call that creates a port until OVN has it up, with few and with many other ports; and whose time that is.

Ours is the processor time of the server per port, less what it takes when nobody asks anything: among many ports it
waits long. OVN's own is what one more row takes it by itself: northd computes all logical flows anew at every change.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure
from bench.rows.port_creates import cpu_s
from bench.run import Run
from bench.world import PATIENCE_S, attach_many, node
from weftwork.testing.cloud import Cloud
from weftwork.testing.guests import run as run_command
from weftwork.testing.node import Node

PROJECT, GROUP = "bench/up", "many"
FEW, MANY = 100, 2000
SAMPLES_PER_ROUND = 2
_IDLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Samples:
    until_up_ms: tuple[float, ...]
    ours_ms: float
    """Processor time of the server per port."""
    ovn_ms: tuple[float, ...]


def measure(run: Run) -> list[Figure]:
    few, many = run.size(FEW, 3), run.size(MANY, 12)
    samples = max(run.rounds * SAMPLES_PER_ROUND, 2)
    with _scene(run) as (running, cloud):
        _attach(running, cloud, "few", few, 16)
        at_few = _samples(running, cloud, "few", samples)
        _attach(running, cloud, "many", many - few, 32)
        at_many = _samples(running, cloud, "many", samples)
    what, against = f"{many:,} other ports", f"{few} other ports"
    return [
        Figure(
            f"create until up over OVN, {what}", "ms", at_many.until_up_ms, at_few.until_up_ms, against, paired=False
        ),
        Figure(
            f"our processor time for it, {what}",
            "ms",
            (at_many.ours_ms,),
            (at_few.ours_ms,),
            against,
            must=1.5,
            aim=1.1,
        ),
        Figure(f"OVN by itself, one row until installed, {what}", "ms", at_many.ovn_ms, at_few.ovn_ms, against),
    ]


@contextmanager
def _scene(run: Run) -> Iterator[tuple[Node, Cloud]]:
    with node(run.fresh_folder("ovn-up"), backend="ovn") as running, running.cloud() as cloud:
        cloud.vpc(PROJECT)
        # Not the default group: its members' addresses are in every member's flows, which is OVN's cost, not a port's.
        cloud.group(PROJECT, GROUP)
        yield running, cloud


def _attach(running: Node, cloud: Cloud, name: str, ports: int, third: int) -> None:
    first, second, *_ = cloud.vpc_info(PROJECT).cidr.split(".")
    cloud.subnet(PROJECT, name, f"{first}.{second}.{third}.0/20")
    attach_many(running.address, PROJECT, name, ports, group=GROUP)


def _samples(running: Node, cloud: Cloud, name: str, samples: int) -> Samples:
    until_up: list[float] = []
    idle = _idle_share(running.pid)
    before_s, since = cpu_s(running.pid), time.perf_counter()
    for number in range(samples):
        began = time.perf_counter()
        made = cloud.port(
            PROJECT, f"{name}-sample{number}", subnet=name, groups=[GROUP], vm=f"vm-{name}{number}", wait=False
        )
        cloud.wait_programmed("port", PROJECT, made.id, made.revision, PATIENCE_S)
        until_up.append((time.perf_counter() - began) * 1000)
    ours_s = cpu_s(running.pid) - before_s - idle * (time.perf_counter() - since)
    ours_ms = max(ours_s, 1 / os.sysconf("SC_CLK_TCK")) / samples * 1000
    return Samples(tuple(until_up), ours_ms, tuple(_by_itself_ms(running.folder / "ovn") for _ in range(samples)))


def _idle_share(pid: int) -> float:
    """Of a processor, with nothing to do: timers and audits."""
    before_s = cpu_s(pid)
    time.sleep(_IDLE_S)
    return (cpu_s(pid) - before_s) / _IDLE_S


def _by_itself_ms(ovn: Path) -> float:
    """A row that has nothing to do with any other."""
    began = time.perf_counter()
    run_command("ovn-nbctl", f"--db=unix:{ovn}/ovnnb_db.sock", "--wait=hv", "ls-add", "by-itself")
    took_s = time.perf_counter() - began
    run_command("ovn-nbctl", f"--db=unix:{ovn}/ovnnb_db.sock", "--wait=hv", "ls-del", "by-itself")
    return took_s * 1000
