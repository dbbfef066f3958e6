"""Port creates per second over etcd through gRPC, beside raw transactions of the same weight, as many in flight."""

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count

import grpc.aio

from bench import creating
from bench.figure import Figure
from bench.rows.port_creates import cpu_s
from bench.run import Run
from weftwork.client.client import Client
from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.rpc.generated.etcdserverpb.etcd_pb2_grpc import KVStub
from weftwork.store.etcd import EtcdPlace, EtcdStore
from weftwork.testing.etcd_cluster import EtcdCluster
from weftwork.testing.node import Node

SECONDS = 3.0
IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Weight:
    """What one create writes."""

    keys: int
    key_bytes: int
    value_bytes: int


@dataclass(frozen=True, slots=True)
class _Contents:
    keys: int
    key_bytes: int
    value_bytes: int


def measure(run: Run) -> list[Figure]:
    seconds = run.seconds(SECONDS)
    ours, raw, cpu_us = [], [], []
    for _ in range(run.rounds):
        with EtcdCluster(run.fresh_folder("etcd")) as cluster:
            rate, weight, cpu = _creates_per_s(run, cluster.endpoints[0], seconds)
        with EtcdCluster(run.fresh_folder("etcd")) as cluster:
            raw.append(asyncio.run(_raw_per_s(cluster.endpoints[0], seconds, weight)))
        ours.append(rate)
        cpu_us.append(cpu)
    against = f"raw transactions of {weight.keys} keys, {weight.keys * weight.value_bytes} B, by grpc.aio alone"
    what = f"port creates over etcd, {IN_FLIGHT} in flight"
    return [
        Figure(what, "per s", tuple(ours), tuple(raw), against, must=0.5, aim=0.8, at_least=True),
        Figure("processor time of the server per create over etcd", "µs", tuple(cpu_us)),
    ]


def _creates_per_s(run: Run, endpoint: str, seconds: float) -> tuple[float, Weight, float]:
    """Creates per second, what one writes, and its microseconds of the server's processor time."""
    node = Node(
        run.fresh_folder("creates"),
        command="server",
        environment={"WEFT_STORAGE_BACKEND": "etcd", "WEFT_STORAGE_ETCD_ENDPOINTS": endpoint},
    )
    node.start()
    try:
        asyncio.run(_prepare(node))
        before, cpu_before_s = asyncio.run(_contents(endpoint)), cpu_s(node.pid)
        command = [sys.executable, "-m", "bench.creating", node.address, str(seconds), str(IN_FLIGHT)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        created, took_s = int(done.stdout.split()[0]), float(done.stdout.split()[1])
        cpu_us = (cpu_s(node.pid) - cpu_before_s) / created * 1e6
        return created / took_s, _per_create(before, asyncio.run(_contents(endpoint)), created), cpu_us
    finally:
        node.stop()


async def _prepare(node: Node) -> None:
    project = "/".join(creating.PROJECT)
    async with await Client.connect(node.address) as client:
        await client.create_vpc(project, cidr="10.32.0.0/12")
        await client.create_subnet(project, creating.SUBNET, cidr="10.40.0.0/14")


async def _contents(endpoint: str) -> _Contents:
    store = await EtcdStore.open(EtcdPlace((endpoint,)))
    records = (await store.range("")).records
    await store.close()
    return _Contents(len(records), sum(len(r.key) for r in records), sum(len(r.value) for r in records))


def _per_create(before: _Contents, after: _Contents, created: int) -> Weight:
    keys = after.keys - before.keys
    assert keys >= created, "ports were created and are not in the store"
    return Weight(
        keys=round(keys / created),
        key_bytes=round((after.key_bytes - before.key_bytes) / keys),
        value_bytes=round((after.value_bytes - before.value_bytes) / keys),
    )


async def _raw_per_s(endpoint: str, seconds: float, weight: Weight) -> float:
    """A bare loop: one key must not be there, and all are put."""
    numbers = count()
    value = bytes(weight.value_bytes)
    done = 0
    async with grpc.aio.insecure_channel(endpoint.removeprefix("http://")) as channel:
        transact = KVStub(channel).Txn
        began = time.perf_counter()

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() - began < seconds:
                name = f"{next(numbers):08x}"
                keys = [f"{name}-{row}".ljust(weight.key_bytes, "k").encode() for row in range(weight.keys)]
                puts = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=value)) for key in keys]
                absent = pb.Compare(target=pb.Compare.MOD, result=pb.Compare.EQUAL, key=keys[0], mod_revision=0)
                answer = await transact(pb.TxnRequest(compare=[absent], success=puts))
                assert answer.succeeded
                done += 1

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return done / (time.perf_counter() - began)
