"""1,000 ports in 100 VPCs from nothing: by our driver, by a node with a full store, and by the tools' batch modes."""

import asyncio
import shutil
import time
from pathlib import Path

from bench import by_hand, programs
from bench.figure import Figure, interleaved
from bench.run import Run
from bench.world import IN_FLIGHT, node, together
from weftwork.client.client import Client
from weftwork.program.linux import InterfaceAddress
from weftwork.program.resource import Program

VPCS, PORTS_EACH = 100, 10
AGAINST = "ip -batch, bridge -batch, sysctl -p, nft -f"


def measure(run: Run) -> list[Figure]:
    vpcs, ports = run.size(VPCS, 3), run.size(PORTS_EACH, 2)
    program = programs.compiled(programs.many_projects(vpcs, ports), programs.profile())
    batches = by_hand.write_batches(program, run.fresh_folder("batches"))
    check_same_state(program, batches)
    by_driver, by_tools = interleaved(run.rounds, lambda: _by_driver_s(program), lambda: _by_tools_s(batches))
    store = _store_with(run, vpcs, ports)
    by_node = tuple(_by_node_s(run, store) for _ in range(run.rounds))
    what = f"{vpcs * ports:,} ports in {vpcs} VPCs"
    return [
        Figure(f"{what}, driver: observe, plan, apply", "s", by_driver, by_tools, AGAINST, must=1.5, aim=0.5),
        Figure(f"{what}, `weft up` over a full store", "s", by_node, by_tools, AGAINST, must=1.5, aim=0.5),
    ]


def check_same_state(program: Program, batches: Path) -> None:
    """What the tools make is what we make; but for the protocol number of addresses, which ip 6.1 cannot set."""
    by_hand.run_script(batches)
    there = _comparable(programs.observed())
    programs.make_it_so(frozenset())
    wanted = _comparable(program)
    assert there == wanted, f"by hand it is another state: {sorted(map(repr, there ^ wanted))[:4]}"


def _comparable(program: Program) -> Program:
    return frozenset(one for one in program if not isinstance(one, InterfaceAddress))


def _by_driver_s(program: Program) -> float:
    began = time.perf_counter()
    programs.make_it_so(program)
    took_s = time.perf_counter() - began
    programs.make_it_so(frozenset())
    return took_s


def _by_tools_s(batches: Path) -> float:
    began = time.perf_counter()
    by_hand.run_script(batches)
    took_s = time.perf_counter() - began
    programs.make_it_so(frozenset())
    return took_s


def _store_with(run: Run, vpcs: int, ports: int) -> Path:
    """Filled through the API of a server that has no agent."""
    with node(run.fresh_folder("store"), command="server") as running:
        asyncio.run(_fill(running.address, vpcs, ports))
        running.stop()
        return running.folder / "store.db"


async def _fill(address: str, vpcs: int, ports: int) -> None:
    async with await Client.connect(address) as client:

        async def tenant(number: int) -> None:
            project = f"bench/p{number}"
            await client.create_vpc(project, cidr="10.0.0.0/16")
            for one in range(ports):
                await client.create_port(project, name=f"port{one}", vm=f"vm{one}")

        await together([lambda n=number: tenant(n) for number in range(vpcs)], IN_FLIGHT)  # type: ignore[misc]


def _by_node_s(run: Run, store: Path) -> float:
    """From the start of the process, interpreter and imports included, until everything is programmed."""
    folder = run.fresh_folder("full")
    for part in store.parent.glob(store.name + "*"):
        shutil.copy(part, folder)
    began = time.perf_counter()
    with node(folder) as running, running.cloud() as cloud:
        cloud.settle()
        return time.perf_counter() - began
