"""From the call that creates a port on one host to its first packet from another, in a small fleet and in a larger."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from bench.figure import Figure
from bench.lab import PROJECT, Place, lab, netns_of, place_of
from bench.newcomer import Newcomer
from bench.run import Run
from weftwork.apps.lab.lab import Lab
from weftwork.client.client import Client

FEW, MANY = 3, 20
SAMPLES_PER_ROUND = 4
WARM_UP = 2


def measure(run: Run) -> list[Figure]:
    """Few, many, and few again: a machine that gets slower meanwhile is no argument."""
    few, many = run.size(FEW, 2), run.size(MANY, 3)
    samples = run.rounds * SAMPLES_PER_ROUND
    at_few = _samples_ms(run, few, samples // 2)
    at_many = _samples_ms(run, many, samples)
    at_few += _samples_ms(run, few, samples - samples // 2)
    what = f"port create to first packet from another host, {many} hosts"
    return [
        Figure(what, "ms", tuple(at_many), tuple(at_few), f"{few} hosts", must=1.3, aim=1.1, paired=False),
    ]


def _samples_ms(run: Run, hosts: int, samples: int) -> list[float]:
    with lab(run.fresh_folder(f"lab-{hosts}"), hosts) as fleet:
        return asyncio.run(_measured(fleet, samples))


async def _measured(fleet: Lab, samples: int) -> list[float]:
    watcher = place_of(fleet, "red1")
    mac = watcher.run("ip", "-br", "link", "show", "dev", watcher.interface).split()[2]
    peer = IPv4Address(watcher.address), mac
    async with await Client.connect(fleet.address) as client:
        (subnet,) = [one async for one in client.list_subnets(PROJECT) if one.name == "default"]
        cidr = IPv4Network(subnet.cidr)
        took = [await _one_ms(fleet, client, number, cidr, peer) for number in range(samples + WARM_UP)]
    return took[WARM_UP:]


async def _one_ms(fleet: Lab, client: Client, number: int, subnet: IPv4Network, peer: tuple[IPv4Address, str]) -> float:
    name = f"new{number}"
    with _namespace(fleet, name) as place, Newcomer(netns_of(place)) as newcomer:
        began = time.perf_counter()
        port = await client.create_port(PROJECT, name=name)
        await client.plug_port(PROJECT, name, name, host=place.machine.name)
        newcomer.wait_for_carrier()
        newcomer.configure(IPv4Address(port.ip_address), subnet, *peer)
        took_s = newcomer.first_answer_at(peer[0]) - began
        await client.delete_port(PROJECT, name)
    return took_s * 1e3


@contextlib.contextmanager
def _namespace(fleet: Lab, name: str) -> Iterator[Place]:
    machine = fleet.state.hosts["h2"].machine
    machine.run("ip", "netns", "add", name)
    try:
        yield Place(machine, name, "")
    finally:
        machine.run("ip", "netns", "del", name)
