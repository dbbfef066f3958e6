"""TCP between guests of one subnet and across subnets, beside the same devices by hand without rules."""

import json
import subprocess
from collections.abc import Callable
from typing import Protocol

from bench.figure import Figure, interleaved
from bench.run import Run
from bench.topology import Trio, ours_and_by_hand
from weftwork.testing.guests import Guest

SECONDS = 1
"""iperf3 takes whole seconds, and 0 for ever."""
CLIENT_LIMIT_S = 30
PORT = 5201
CLIENT_CPU, SERVER_CPU = "0", "1"
AGAINST = "same topology by hand, no rules"


class Placed(Protocol):
    """Somewhere to run a command, and where packets reach it."""

    @property
    def address(self) -> str: ...

    def command(self, *words: str) -> list[str]: ...


def measure(run: Run) -> list[Figure]:
    with ours_and_by_hand(run.fresh_folder("throughput")) as (mine, theirs):
        return [
            _figure(run, "TCP, same subnet", mine, theirs, lambda trio: trio.near),
            _figure(run, "TCP, across subnets", mine, theirs, lambda trio: trio.far),
        ]


def _figure(run: Run, name: str, mine: Trio, theirs: Trio, to: Callable[[Trio], Guest]) -> Figure:
    def of(trio: Trio) -> float:
        return gigabits_per_s(trio.source, to(trio))

    ours, peer = interleaved(run.rounds * run.size(3, 1), lambda: of(mine), lambda: of(theirs))
    return Figure(name, "Gbit/s", ours, peer, AGAINST, must=0.90, aim=0.95, at_least=True)


def gigabits_per_s(source: Placed, target: Placed) -> float:
    """What the server received. Each end has a processor of its own, the same in both topologies."""
    server = subprocess.Popen(
        target.command("iperf3", "-s", "-1", "-A", SERVER_CPU, "-p", str(PORT), "--forceflush"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert server.stdout is not None
        while b"Server listening" not in (line := server.stdout.readline()):
            assert line, "iperf3 did not start"
        client = ("iperf3", "-c", target.address, "-p", str(PORT), "-t", str(SECONDS), "-A", CLIENT_CPU, "-J")
        done = subprocess.run(
            source.command(*client), capture_output=True, text=True, timeout=CLIENT_LIMIT_S, check=False
        )
        told = json.loads(done.stdout)
        assert "error" not in told, told["error"]
        return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9
    finally:
        server.kill()
        server.wait()
