"""From the call that creates a port to its first packet, with few and with many other ports on the host."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bench.figure import Figure
from bench.newcomer import Newcomer
from bench.run import Run
from bench.world import attach_many, guest, node
from weftwork.client.client import Client
from weftwork.testing.cloud import Cloud
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node

PROJECT = "bench/first"
FEW, MANY = 10, 2000
SUBNETS = 4
SAMPLES_PER_ROUND = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """A node with a guest that answers."""

    node: Node
    cloud: Cloud
    peer: Guest
    subnet: IPv4Network

    def samples_ms(self, samples: int, *, dhcp: bool = False) -> list[float]:
        return asyncio.run(self._samples(samples, dhcp))

    async def _samples(self, samples: int, dhcp: bool) -> list[float]:
        async with await Client.connect(self.node.address) as client:
            return [await self._one(client, number, dhcp) for number in range(samples)]

    async def _one(self, client: Client, number: int, dhcp: bool) -> float:
        peer, peer_mac = IPv4Address(self.peer.address), self.peer.mac
        with Guest.boot(f"bench-new{number}") as guest, Newcomer(guest.name) as newcomer:
            began = time.perf_counter()
            port = await client.create_port(PROJECT, name=f"new{number}")
            await client.plug_port(PROJECT, port.id, newcomer.guest.name)
            newcomer.wait_for_carrier()
            if dhcp:
                assert newcomer.guest.dhcp() is not None, "no lease"
            else:
                newcomer.configure(IPv4Address(port.ip_address), self.subnet, peer, peer_mac)
            took_s = newcomer.first_answer_at(peer) - began
            await client.delete_port(PROJECT, port.id)
        self.cloud.settle()
        return took_s * 1000


def measure(run: Run) -> list[Figure]:
    """Few, many, and few again: a machine that gets slower meanwhile is no argument."""
    few, many = run.size(FEW, 3), run.size(MANY, 12)
    samples = run.rounds * SAMPLES_PER_ROUND
    leased = max(run.rounds, 2)
    with _scene(run) as scene:
        _attach(scene, few)
        scene.samples_ms(2)
        at_few = scene.samples_ms(samples // 2)
        at_few_leased = scene.samples_ms(leased, dhcp=True)
        _attach(scene, many - few)
        at_many = scene.samples_ms(samples)
        at_many_leased = scene.samples_ms(leased, dhcp=True)
        _detach(scene)
        _attach(scene, few)
        at_few += scene.samples_ms(samples - samples // 2)
    what, against = f"create to first packet, {many:,} other ports", f"{few} other ports"
    return [
        Figure(what, "ms", tuple(at_many), tuple(at_few), against, must=1.5, aim=1.1, paired=False),
        Figure(f"{what}, with DHCP", "ms", tuple(at_many_leased), tuple(at_few_leased), against, paired=False),
    ]


@contextmanager
def _scene(run: Run) -> Iterator[Scene]:
    with node(run.fresh_folder("first")) as running, running.cloud() as cloud:
        cloud.vpc(PROJECT)
        (subnet,) = cloud.collect(cloud.client.list_subnets(PROJECT))
        with guest(cloud, PROJECT, "peer") as peer:
            yield Scene(running, cloud, peer, IPv4Network(subnet.cidr))


def _attach(scene: Scene, ports: int) -> None:
    """In the same VPC and group; in subnets of their own, because a bridge takes 1,023."""
    there = {one.name for one in scene.cloud.collect(scene.cloud.client.list_subnets(PROJECT))}
    vpc = IPv4Network(scene.cloud.vpc_info(PROJECT).cidr)
    free = list(vpc.subnets(new_prefix=22))[8:]
    for number in range(SUBNETS):
        name = f"many{number}-{ports}"
        assert name not in there, "attached already"
        share = ports // SUBNETS + (number < ports % SUBNETS)
        cidr = next(one for one in free if not _taken(scene, one))
        scene.cloud.subnet(PROJECT, name, str(cidr))
        attach_many(scene.node.address, PROJECT, name, share)


def _taken(scene: Scene, cidr: IPv4Network) -> bool:
    subnets = scene.cloud.collect(scene.cloud.client.list_subnets(PROJECT))
    return any(IPv4Network(one.cidr).overlaps(cidr) for one in subnets)


def _detach(scene: Scene) -> None:
    for one in scene.cloud.collect(scene.cloud.client.list_subnets(PROJECT)):
        if one.name.startswith("many"):
            scene.cloud.do(scene.cloud.client.delete_subnet(PROJECT, one.name, cascade=True))
    scene.cloud.settle()
