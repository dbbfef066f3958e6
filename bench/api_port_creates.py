"""Durable port creates per second through gRPC, beside bare SQLite committing one row at a time on the same disk.

The server (`overlay-network-server`), and the clients, are processes of their own:
`python bench/api_port_creates.py [SECONDS [DIRECTORY]]`.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import grpc
import grpc.aio
from store_raw import raw_commits_per_s

from weftwork.client import ApiError, Client
from weftwork.rpc.generated.overlay_network.v1.network_pb2 import CreatePortRequest

ROUNDS = 5
IN_FLIGHT = 64
CREATE_PORT = "/overlay_network.v1.NetworkService/CreatePort"
START_S = 20.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    creates_per_s: float
    server_cpu_us: float
    """Processor time of the server per create: what stays the same when the machine is busy."""
    raw_per_s: float

    @property
    def ratio(self) -> float:
        return self.creates_per_s / self.raw_per_s


@contextmanager
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A fresh one, listening on `api.sock` in the folder."""
    config = folder / "server.toml"
    config.write_text(
        f'[server]\nlisten_addr = ""\nsocket = "{folder}/api.sock"\n[storage]\npath = "{folder}/store.db"\n'
    )
    command = [sys.executable, "-m", "weftwork.apps.overlay_network_server", "--config", str(config)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)


async def furnished(address: str) -> None:
    """Waits for the server, and makes a subnet with room for all."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            async with await Client.connect(address) as client:
                await client.create_vpc("bench/ports", cidr="10.32.0.0/12")
                await client.create_subnet("bench/ports", "large", cidr="10.40.0.0/14")
            return
        except ApiError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def create_ports(address: str, seconds: float, in_flight: int) -> int:
    """How many were created; with as little work in the client as can be."""
    request = CreatePortRequest(org_id="bench", project_id="ports", subnet_id="large").SerializeToString()
    created = 0
    deadline = time.perf_counter() + seconds
    async with grpc.aio.insecure_channel(address) as channel:
        create = channel.unary_unary(CREATE_PORT)

        async def caller() -> None:
            nonlocal created
            while time.perf_counter() < deadline:
                await create(request)
                created += 1

        await asyncio.gather(*(caller() for _ in range(in_flight)))
    return created


def cpu_s(pid: int) -> float:
    """Processor time that a process has had: user and system (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def measure(directory: Path | None, seconds: float) -> Round:
    with tempfile.TemporaryDirectory(dir=directory) as name, server(Path(name)) as process:
        address = f"unix:{name}/api.sock"
        asyncio.run(furnished(address))
        before, began = cpu_s(process.pid), time.perf_counter()
        client = [sys.executable, __file__, "--client", address, str(seconds), str(IN_FLIGHT)]
        done = subprocess.run(client, capture_output=True, text=True, check=True)
        created, within_s = map(float, done.stdout.split())
        assert time.perf_counter() - began >= within_s
        cpu_us = (cpu_s(process.pid) - before) / created * 1e6
    with tempfile.TemporaryDirectory(dir=directory) as name:
        raw = raw_commits_per_s(Path(name) / "raw.db", seconds, rows=1)
    return Round(created / within_s, cpu_us, raw)


def main(seconds: float, directory: Path | None) -> None:
    rounds = [measure(directory, seconds) for _ in range(ROUNDS)]
    print(f"{'port creates per second, 64 in flight':44}{statistics.median(r.creates_per_s for r in rounds):9.0f}")
    print(f"{'bare SQLite commits per second, 1 row':44}{statistics.median(r.raw_per_s for r in rounds):9.0f}")
    print(f"{'ratio (must 0.25, aim 1)':44}{statistics.median(r.ratio for r in rounds):9.2f}")
    print(
        f"{'processor time of the server per create, µs':44}{statistics.median(r.server_cpu_us for r in rounds):9.0f}"
    )


def client_main(address: str, seconds: float, in_flight: int) -> None:
    began = time.perf_counter()
    created = asyncio.run(create_ports(address, seconds, in_flight))
    print(created, time.perf_counter() - began)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client_main(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
