"""Ports into a northbound that nobody follows: our driver, the same rows in one raw transaction, and ovn-nbctl.

And ports through the API, kept durably first: into a northbound by a server alone; and TAP and all, until the chassis
has installed them, beside ovn-nbctl, which writes rows and nothing else.
"""

import asyncio
import gc
import time
from pathlib import Path

import uvloop

from bench.creating import create_number
from bench.figure import Figure
from bench.ovn import ground, guests_ports, nbctl_s, northbound, obliging, ports, raw_s
from bench.run import Run
from bench.world import PATIENCE_S, attach_many, node
from weftwork.apps.node import GARBAGE_THRESHOLDS
from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovn.transaction import Operation, Transaction
from weftwork.drivers.ovsdb.endpoint import Endpoint
from weftwork.planner.plan import make_plan
from weftwork.program.resource import Program
from weftwork.rpc.generated.overlay_network.v1.network_pb2 import CreatePortRequest
from weftwork.testing.node import Node

PORTS = 1000
BY_PROCESS = 50
IN_FLIGHT = 64
NOTHING: Program = frozenset()


def measure(run: Run) -> list[Figure]:
    number, by_process = run.size(PORTS, 20), run.size(BY_PROCESS, 3)
    driven, raw, hand, called = [], [], [], []
    # As the server does; and it runs on uvloop.
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    for _ in range(run.rounds):
        with (
            northbound(run.fresh_folder("ovn-ports")) as path,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
        ):
            driven.append(number / loop.run(_driven(path, number)))
        with northbound(run.fresh_folder("ovn-raw")) as path:
            raw.append(number / raw_s(path, asyncio.run(_operations(path, number))))
            hand.append(by_process / nbctl_s(path, 0, by_process))
        called.append(_by_calls(run, number))
    # Once: nearly all of it is OVN's time, and much.
    whole = (_through_the_api(run, number),)
    what = f"{number:,} ports into a northbound"
    through = f"{number:,} ports by the API into a northbound, {IN_FLIGHT} calls in flight"
    return [
        Figure(what, "per s", tuple(driven), tuple(raw), "one raw transaction", must=0.5, aim=0.8, at_least=True),
        Figure(what, "per s", tuple(driven), tuple(hand), "ovn-nbctl per port", must=10.0, at_least=True),
        Figure(through, "per s", tuple(called), tuple(hand), "ovn-nbctl per port", must=10.0, at_least=True),
        Figure(through, "per s", tuple(called), tuple(raw), "one raw transaction"),
        Figure(
            f"{number:,} ports by the API until installed, TAPs and all",
            "per s",
            whole,
            tuple(hand),
            "ovn-nbctl per port, rows only",
            paired=False,
        ),
    ]


async def _driven(path: Path, number: int) -> float:
    """Seconds from the plan until the database has it."""
    driver = OvnDriver((Endpoint("unix", str(path)),), install_timeout_s=0)
    try:
        await driver.apply(make_plan(desired=ground(), observed=NOTHING))
        plan = make_plan(desired=ports(0, number), observed=NOTHING)
        began = time.perf_counter()
        applied = await driver.apply(plan)
        took_s = time.perf_counter() - began
        assert not applied.failures and await driver.observe() == ground() | ports(0, number)
        return took_s
    finally:
        await driver.close()


async def _operations(path: Path, number: int) -> list[Operation]:
    """The very operations that the driver sends, made before the clock runs; what they stand on is there."""
    driver = OvnDriver((Endpoint("unix", str(path)),), install_timeout_s=0)
    try:
        await driver.apply(make_plan(desired=ground(), observed=NOTHING))
        await driver.observe()
        transaction = Transaction(driver.place_of)
        transaction.add(make_plan(desired=ports(0, number), observed=NOTHING))
        return transaction.operations
    finally:
        await driver.close()


def _by_calls(run: Run, number: int) -> float:
    """Ports per second from the first call until the database has them all, by a server without a host."""
    folder = run.fresh_folder("ovn-calls")
    (folder / "server").mkdir()
    with northbound(folder) as path, obliging(path):
        environment = {
            "WEFT_NETWORK_OVN_NORTHBOUND_ENDPOINT": f"unix:{path}",
            "WEFT_NETWORK_OVN_SWITCH_ENDPOINT": f"unix:{folder}/none",
        }
        server = Node(folder / "server", command="server", backend="ovn", environment=environment)
        with server, server.cloud() as cloud:
            cloud.vpc("bench/ports")
            cloud.subnet("bench/ports", "many", _roomy(cloud.vpc_info("bench/ports").cidr))
            cloud.group("bench/ports", "many")
            call = CreatePortRequest(org_id="bench", project_id="ports", subnet_id="many", vm_id="vm")
            call.security_group_ids.append("many")
            began = time.perf_counter()
            create_number(server.address, call.SerializeToString(), number, IN_FLIGHT)
            while guests_ports(path) < number:
                assert time.perf_counter() - began < PATIENCE_S, "the ports do not come"
            return number / (time.perf_counter() - began)


def _through_the_api(run: Run, number: int) -> float:
    with node(run.fresh_folder("ovn-api"), backend="ovn") as running, running.cloud() as cloud:
        cloud.vpc("bench/ports")
        cloud.subnet("bench/ports", "many", _roomy(cloud.vpc_info("bench/ports").cidr))
        # Not the default group: its members' addresses are in every member's flows, which is OVN's cost, not a port's.
        cloud.group("bench/ports", "many")
        began = time.perf_counter()
        attach_many(running.address, "bench/ports", "many", number, group="many")
        return number / (time.perf_counter() - began)


def _roomy(cidr: str) -> str:
    return cidr.split("/")[0].rsplit(".", 2)[0] + ".16.0/20"
