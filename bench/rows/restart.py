"""A node with 1,000 ports is killed, or stopped, and started again: no packet lost, nothing written to the kernel."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from bench.figure import Figure
from bench.kernel_events import KernelEvents
from bench.run import Run
from bench.watch import Watch
from bench.world import attach_many, guest, node
from weftwork.drivers.linux import namespaces
from weftwork.testing.cloud import Cloud
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node

PORTS, VPCS = 1000, 10
PING_S = 0.002


@dataclass(frozen=True, slots=True)
class Scene:
    """`source` pings `target` all the while."""

    node: Node
    cloud: Cloud
    source: Guest
    target: Guest


def measure(run: Run) -> list[Figure]:
    ports, vpcs = run.size(PORTS, 4), run.size(VPCS, 2)
    with _scene(run, ports, vpcs) as scene:
        rounds = [_restart(scene, by_force=number % 2 == 0) for number in range(run.rounds)]
    lost, changes = zip(*rounds, strict=True)
    what = f"restart with {ports:,} ports"
    return [
        Figure(f"{what}: packets lost", "packets", tuple(lost), must=0, aim=0),
        Figure(f"{what}: changes in the kernel", "messages", tuple(changes), must=0, aim=0),
    ]


def _restart(scene: Scene, *, by_force: bool) -> tuple[float, float]:
    """Packets lost from before the end of the old process until the new one is done, and what the kernel told."""
    scopes = [name for name in namespaces.names() if name.startswith("weft-")]
    with Watch(scene.source.name, scene.target.address, PING_S) as watch, KernelEvents(scopes) as events:
        watch.until("up")
        if by_force:
            scene.node.kill()
        else:
            scene.node.stop()
        scene.node.start()
        scene.cloud.reconnect()
        scene.cloud.settle()
        seen = events.seen()
        _, lost = watch.end()
    assert scene.cloud.drift() == [], "the new process is not done"
    print(*(f"the kernel was changed: {line}" for line in seen[:5]), sep="\n", end="")
    return lost, len(seen)


@contextlib.contextmanager
def _scene(run: Run, ports: int, vpcs: int) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(node(run.fresh_folder("restart")))
        cloud = stack.enter_context(running.cloud())
        for number in range(vpcs):
            project = f"bench/p{number}"
            cloud.vpc(project, "10.0.0.0/16")
            attach_many(running.address, project, "default", ports // vpcs)
        source, target = (stack.enter_context(guest(cloud, "bench/p0", name)) for name in ("source", "target"))
        yield Scene(running, cloud, source, target)
