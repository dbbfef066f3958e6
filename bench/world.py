"""A node with an agent, its guests, and clients of it: what the rows build their scenes from."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from weftwork.client.client import Client, resource_ref
from weftwork.client.messages import Port
from weftwork.testing.cloud import Cloud
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node

T = TypeVar("T")

IN_FLIGHT = 32
PATIENCE_S = 300.0
PORTS_PER_BRIDGE = 1000
"""The kernel takes 1,023 under one bridge (BR_MAX_PORTS)."""


@contextlib.contextmanager
def node(folder: Path, *, command: str = "up", backend: str = "") -> Iterator[Node]:
    """Without audits after the first one, or a watch on rules: the rows change things behind its back, or measure to
    the millisecond."""
    one = Node(folder, command=command, backend=backend)
    with (folder / "weft.toml").open("a") as config:
        config.write('[agent]\naudit_s = 86400\nwatch_rules = "off"\n')
    with one:
        yield one


async def together(calls: Sequence[Callable[[], Awaitable[T]]], in_flight: int = IN_FLIGHT) -> list[T]:
    """The results of all calls, in order, never more than `in_flight` at once."""
    slots = asyncio.Semaphore(in_flight)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await call()

    return list(await asyncio.gather(*map(one, calls)))


def attach_many(address: str, project: str, subnet: str, ports: int, *, group: str = "default") -> None:
    """Ports with a TAP each, programmed."""

    async def run() -> None:
        async with await Client.connect(address) as client:

            async def create(number: int) -> Port:
                name = f"{subnet}-{number}"
                return await client.create_port(project, name=name, subnet=subnet, vm=f"vm-{name}", groups=[group])

            made = await together([lambda n=number: create(n) for number in range(ports)])  # type: ignore[misc]
            for last in (max(made, key=lambda port: port.revision),) if made else ():
                event = await client.wait_programmed(resource_ref("port", project, last.id), last.revision, PATIENCE_S)
                assert event.met, "the ports were not programmed"

    asyncio.run(run())


@contextlib.contextmanager
def guest(cloud: Cloud, project: str, name: str, *, subnet: str = "default", group: str = "default") -> Iterator[Guest]:
    """A namespace plugged into a new port, its address set by hand."""
    with Guest.boot(f"bench-{name}") as one:
        port = cloud.port(project, name, subnet=subnet, groups=[group])
        cloud.plug(project, name, one.name)
        address = port.ip_address
        prefix, gateway = _prefix_and_gateway(cloud, project, subnet)
        one.configure(f"{address}/{prefix}", gateway)
        yield one


def _prefix_and_gateway(cloud: Cloud, project: str, subnet: str) -> tuple[str, str]:
    found = next(one for one in cloud.collect(cloud.client.list_subnets(project)) if one.name == subnet)
    return found.cidr.split("/")[1], found.gateway_ip
