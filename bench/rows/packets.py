"""64-byte UDP packets per second that arrive, in one subnet, beside the same devices by hand without rules."""

import subprocess
import sys

from bench.figure import Figure, interleaved
from bench.run import Run
from bench.topology import Trio, ours_and_by_hand
from weftwork.testing.guests import Guest

SECONDS = 1.0
PORT = 9000
SENDER_CPU, RECEIVER_CPU = "0", "1"


def measure(run: Run) -> list[Figure]:
    with ours_and_by_hand(run.fresh_folder("packets")) as (mine, theirs):
        seconds = run.seconds(SECONDS)

        def of(trio: Trio) -> float:
            return packets_per_s(trio.source, trio.near, seconds) / 1000

        ours, peer = interleaved(run.rounds * run.size(3, 1), lambda: of(mine), lambda: of(theirs))
    return [
        Figure(
            "UDP, 64-byte frames, same subnet",
            "kpackets/s",
            ours,
            peer,
            "same topology by hand, no rules",
            must=0.65,
            aim=0.80,
            at_least=True,
        )
    ]


def packets_per_s(source: Guest, target: Guest, seconds: float) -> float:
    address = target.address
    receiver = _flood(target, RECEIVER_CPU, "receive", str(PORT), str(seconds))
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == b"ready\n", "the receiver did not start"
    sender = _flood(source, SENDER_CPU, "send", address, str(PORT))
    try:
        return float(receiver.stdout.readline())
    finally:
        for process in (sender, receiver):
            process.kill()
            process.wait()


def _flood(one: Guest, cpu: str, *words: str) -> subprocess.Popen[bytes]:
    command = ["nsenter", f"--net=/run/netns/{one.name}", "taskset", "-c", cpu]
    return subprocess.Popen([*command, sys.executable, "-m", "bench.flood", *words], stdout=subprocess.PIPE)
