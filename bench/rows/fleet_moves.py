"""A port that moves to another host: how long its guest's packets are away, seen from a third host."""

import asyncio
import time
from ipaddress import IPv4Address, IPv4Network

from bench.echo import Echo
from bench.figure import Figure
from bench.lab import PROJECT, Place, lab, netns_of, place_of
from bench.newcomer import Newcomer
from bench.run import Run
from weftwork.apps.lab.lab import Lab
from weftwork.client.client import Client

NAME = "mover"
PAUSE_S = 0.0005
GIVE_UP_S = 20.0
AFTER_S = 0.3
MOVES = 3
"""Of each round."""


def measure(run: Run) -> list[Figure]:
    with lab(run.fresh_folder("lab"), 3) as fleet:
        gaps = asyncio.run(_gaps_s(fleet, max(2, run.size(run.rounds * MOVES, 2))))
    return [
        Figure("port moved to another host: longest gap, static", "ms", tuple(gap * 1e3 for gap in gaps), must=1000.0)
    ]


async def _gaps_s(fleet: Lab, moves: int) -> list[float]:
    async with await Client.connect(fleet.address) as client:
        port = await client.create_port(PROJECT, name=NAME)
        address = IPv4Address(port.ip_address)
        (subnet,) = [one async for one in client.list_subnets(PROJECT) if one.name == "default"]
        watcher = place_of(fleet, "red1")
        peer = IPv4Address(watcher.address), _mac_of(watcher)
        for host in ("h2", "h3"):
            fleet.guest(NAME, PROJECT, host, str(address))
        echo = Echo(netns_of(watcher), str(address))
        gaps: list[float] = []
        try:
            for number in range(moves + 1):
                there = Place(fleet.state.hosts[("h2", "h3")[number % 2]].machine, NAME, str(address))
                with Newcomer(netns_of(there)) as newcomer:
                    moved = asyncio.ensure_future(_plug(client, there.machine.name))
                    settled = asyncio.create_task(
                        asyncio.to_thread(_settle, newcomer, address, IPv4Network(subnet.cidr), peer)
                    )
                    gap_s = await asyncio.to_thread(_longest_gap_s, echo, settled)
                    await moved
                if number:
                    gaps.append(gap_s)
        finally:
            echo.close()
            await client.delete_port(PROJECT, NAME)
        return gaps


async def _plug(client: Client, host: str) -> None:
    await client.plug_port(PROJECT, NAME, NAME, host=host)


def _settle(newcomer: Newcomer, address: IPv4Address, subnet: IPv4Network, peer: tuple[IPv4Address, str]) -> float:
    """As soon as it is cabled, the guest has its address; when that was."""
    newcomer.wait_for_carrier()
    newcomer.configure(address, subnet, *peer)
    return time.perf_counter()


def _longest_gap_s(echo: Echo, settled: "asyncio.Task[float]") -> float:
    """Between two answers; looked for until some time after the guest is at its new place, and answers."""
    began = last = time.perf_counter()
    longest, answered_since = 0.0, 0.0
    while True:
        now = time.perf_counter()
        assert now - began < GIVE_UP_S, "it does not answer at its new place"
        echo.send(1)
        pause_ends = now + PAUSE_S
        while time.perf_counter() < pause_ends:
            if echo.answers():
                here = time.perf_counter()
                longest, last = max(longest, here - last), here
                if settled.done() and here > settled.result():
                    answered_since = answered_since or here
        if answered_since and now - answered_since > AFTER_S:
            return longest


def _mac_of(place: Place) -> str:
    shown = place.run("ip", "-br", "link", "show", "dev", place.interface)
    return shown.split()[2]
