"""Calls per second through gRPC and REST, beside the bare frameworks; and lists, beside the store."""

import asyncio
import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from bench.api_load import Load
from bench.figure import Figure
from bench.rows.port_creates import cpu_s
from bench.run import Run
from bench.world import node
from weftwork.client.client import Client
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.store.sqlite.file import open_reader
from weftwork.store.sqlite.reader import Reader
from weftwork.testing.node import Node

SECONDS = 2.0
IN_FLIGHT = 32
PORTS = 10_000
PAGE_SIZE = 1000
PROJECT = "bench/calls"
PATH = "/v1/orgs/bench/projects/calls/ports"
PORTS_PREFIX = f"/networks/ports/{PROJECT}/"
START_S = 20.0


class _Page(msgspec.Struct):
    """The ports as they came: a client in Python that parses them costs more than the server."""

    ports: list[msgspec.Raw]
    next_page_token: str


_page = msgspec.json.Decoder(_Page).decode


@dataclass(frozen=True, slots=True)
class Way:
    """One kind of call through one door."""

    name: str
    kind: str
    asked: dict[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    """Where a process answers."""

    address: str
    pid: int


def ways() -> list[Way]:
    service = "/overlay_network.v1.NetworkService/"
    get = pb.GetPortRequest(org_id="bench", project_id="calls", port_id="p0").SerializeToString().hex()
    create = pb.CreatePortRequest(org_id="bench", project_id="calls", subnet_id="large").SerializeToString().hex()
    return [
        Way("reads through gRPC", "grpc", {"path": service + "GetPort", "message": get}),
        Way("reads through REST", "http", {"verb": "GET", "path": f"{PATH}/p0"}),
        Way("writes through gRPC", "grpc", {"path": service + "CreatePort", "message": create}),
        Way("writes through REST", "http", {"verb": "POST", "path": PATH, "body": '{"subnet_id":"large"}'}),
    ]


def measure(run: Run) -> list[Figure]:
    folder = run.fresh_folder("api")
    with node(folder, command="server") as running:
        asyncio.run(_furnish(running))
        rest, answer = rest_of(running), folder / "answer"
        answer.write_bytes(rest.get(f"{PATH}/p0").content)
        message = folder / "message"
        message.write_bytes(asyncio.run(_read(running)).SerializeToString())
        figures: list[Figure] = []
        with bare("http", folder, answer) as over_http, bare("grpc", folder, message) as over_grpc:
            for way in ways():
                figures += _calls(run, running, way, over_http if way.kind == "http" else over_grpc)
        return figures + _lists(run, running)


def _calls(run: Run, running: Node, way: Way, constant: Served) -> list[Figure]:
    seconds = run.seconds(SECONDS)
    door = f"unix:{running.folder}/rest.sock" if way.kind == "http" else running.address
    ours: list[Load] = []
    peer: list[Load] = []
    our_cpu: list[float] = []
    peer_cpu: list[float] = []
    for number in range(run.rounds):
        pair = ((Served(door, running.pid), ours, our_cpu), (constant, peer, peer_cpu))
        for server, loads, cpu in pair if number % 2 == 0 else reversed(pair):
            before_s = cpu_s(server.pid)
            loads.append(drive(way, server.address, seconds))
            cpu.append((cpu_s(server.pid) - before_s) / loads[-1].calls * 1e6)
    what, against = f"{way.name}, {IN_FLIGHT} in flight", "the bare framework, a constant"
    rates = tuple(one.per_s for one in ours), tuple(one.per_s for one in peer)
    return [
        Figure(what, "per s", *rates, against, must=0.3, aim=0.5, at_least=True),
        Figure(f"{what}, p50", "ms", tuple(one.p50_ms for one in ours), tuple(one.p50_ms for one in peer), against),
        Figure(f"{what}, p99", "ms", tuple(one.p99_ms for one in ours), tuple(one.p99_ms for one in peer), against),
        Figure(f"{what}, processor time of the server per call", "µs", tuple(our_cpu), tuple(peer_cpu), against),
    ]


def drive(way: Way, address: str, seconds: float) -> Load:
    """From a process of its own."""
    command = [sys.executable, "-m", "bench.api_load", way.kind, address, str(seconds), str(IN_FLIGHT)]
    done = subprocess.run([*command, json.dumps(way.asked)], capture_output=True, text=True, check=True)
    return Load(*map(float, done.stdout.split()))


def _lists(run: Run, running: Node) -> list[Figure]:
    """All ports, page by page, per second; beside one read of their range by the store itself."""
    asyncio.run(_fill(running, run.size(PORTS, 200)))
    grpc, rest, raw = [], [], []
    for _ in range(run.rounds):
        grpc.append(asyncio.run(_list_over_grpc(running)))
        raw.append(asyncio.run(_range(running.folder / "store.db")))
        rest.append(_list_over_http(running))
    against = "one range of the store, read in this process"
    return [
        Figure(f"list of ports through {door}, {PAGE_SIZE} a page", "ports per s", tuple(ours), tuple(raw), against,
               must=0.2, aim=0.4, at_least=True)
        for door, ours in (("gRPC", grpc), ("REST", rest))
    ]  # fmt: skip


async def _furnish(running: Node) -> None:
    async with await Client.connect(running.address) as client:
        await client.create_vpc(PROJECT, cidr="10.32.0.0/12")
        await client.create_subnet(PROJECT, "large", cidr="10.40.0.0/14")
        await client.create_port(PROJECT, name="p0", subnet="large")


async def _read(running: Node) -> pb.Port:
    async with await Client.connect(running.address) as client:
        return await client.get_port(PROJECT, "p0")


async def _fill(running: Node, ports: int) -> None:
    async with await Client.connect(running.address) as client:
        there = [port async for port in client.list_ports(PROJECT)]
        for _ in range(0, max(0, ports - len(there)), IN_FLIGHT):
            await asyncio.gather(*(client.create_port(PROJECT, subnet="large") for _ in range(IN_FLIGHT)))


async def _list_over_grpc(running: Node) -> float:
    async with await Client.connect(running.address, page_size=PAGE_SIZE) as client:
        began = time.perf_counter()
        ports = [port async for port in client.list_ports(PROJECT)]
        return len(ports) / (time.perf_counter() - began)


class _OverSocket(http.client.HTTPConnection):
    """A client in Python that takes bodies piece by piece costs more than the server that makes them."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def _list_over_http(running: Node) -> float:
    with contextlib.closing(_OverSocket(running.folder / "rest.sock")) as rest:
        began, ports, token = time.perf_counter(), 0, ""
        while True:
            rest.request("GET", f"{PATH}?page_size={PAGE_SIZE}&page_token={token}")
            page = _page(rest.getresponse().read())
            ports += len(page.ports)
            token = page.next_page_token
            if not token:
                return ports / (time.perf_counter() - began)


async def _range(path: Path) -> float:
    """A second reader of the same file: SQLite's WAL lets it."""
    with contextlib.closing(open_reader(path)) as connection:
        began = time.perf_counter()
        found = await Reader(connection, path).range(PORTS_PREFIX, "", 0)
        return len(found.records) / (time.perf_counter() - began)


@contextlib.contextmanager
def bare(kind: str, folder: Path, content: Path) -> Iterator[Served]:
    """A framework that answers everything with the same bytes."""
    path = folder / f"constant-{kind}.sock"
    command = [sys.executable, "-m", "bench.constant", kind, str(path), str(content)]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + START_S
            while not path.exists():
                assert process.poll() is None and time.monotonic() < deadline, "the bare framework did not start"
                time.sleep(0.05)
            time.sleep(0.2)
            yield Served(f"unix:{path}", process.pid)
        finally:
            process.terminate()


def rest_of(running: Node) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(running.folder / "rest.sock"))
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=60)
