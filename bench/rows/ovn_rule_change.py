"""From a rule change to packets that obey it over OVN, in a group of 1,000 ports, beside the same by ovn-nbctl."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure
from bench.run import Run
from bench.watch import Watch
from bench.world import attach_many, guest, node
from weftwork.client.client import Client
from weftwork.client.rules import rule
from weftwork.testing.guests import run as run_command

PROJECT, GROUP, SUBNET = "bench/rules", "many", "many"
PORTS = 1000
PING_S = 0.002
PRIORITY = "1000"
Times = dict[str, tuple[list[float], list[float]]]


@dataclass(frozen=True, slots=True)
class Hand:
    """An operator with ovn-nbctl."""

    ovn: Path
    group: str
    source_ip: str

    def change(self, verb: str) -> float:
        """When it began."""
        match = f"outport == @{self.group} && ip4.src == {self.source_ip} && icmp4"
        action = ("allow-related",) if verb == "acl-add" else ()
        began = time.monotonic()
        self._nbctl("--type=port-group", verb, self.group, "to-lport", PRIORITY, match, *action)
        return began

    def _nbctl(self, *words: str) -> str:
        return run_command("ovn-nbctl", f"--db=unix:{self.ovn}/ovnnb_db.sock", *words)


def measure(run: Run) -> list[Figure]:
    ports = run.size(PORTS, 5)
    with _scene(run, ports) as (address, netns, target, hand), Watch(netns, target, PING_S) as watch:
        times = asyncio.run(_changes(run.rounds, address, hand, watch))
    what = f"over OVN until packets obey, group of {ports:,} ports"
    return [
        Figure(
            f"rule {done} {what}", "ms", tuple(times[word][0]), tuple(times[word][1]), "ovn-nbctl", must=2.0, aim=1.2
        )
        for word, done in (("add", "added"), ("remove", "removed"))
    ]


@contextmanager
def _scene(run: Run, ports: int) -> Iterator[tuple[str, str, str, Hand]]:
    with ExitStack() as stack:
        running = stack.enter_context(node(run.fresh_folder("ovn-rules"), backend="ovn"))
        cloud = stack.enter_context(running.cloud())
        cloud.vpc(PROJECT)
        first, second, *_ = cloud.vpc_info(PROJECT).cidr.split(".")
        cloud.subnet(PROJECT, SUBNET, f"{first}.{second}.16.0/20")
        cloud.group(PROJECT, GROUP)
        attach_many(running.address, PROJECT, SUBNET, ports, group=GROUP)
        source = stack.enter_context(guest(cloud, PROJECT, "source", subnet=SUBNET))
        target = stack.enter_context(guest(cloud, PROJECT, "target", subnet=SUBNET, group=GROUP))
        ovn = running.folder / "ovn"
        shown = run_command(
            "ovn-nbctl", f"--db=unix:{ovn}/ovnnb_db.sock", "--bare", "--columns=name", "list", "Port_Group"
        )
        (name,) = (one for one in shown.split() if one.endswith(f".group.{GROUP}"))
        yield running.address, source.name, target.address, Hand(ovn, name, source.address)


async def _changes(rounds: int, address: str, hand: Hand, watch: Watch) -> Times:
    times: Times = {"add": ([], []), "remove": ([], [])}
    allowed = [rule("icmp", f"{hand.source_ip}/32")]
    async with await Client.connect(address) as client:
        for _ in range(rounds):
            for word, state, change in (("add", "up", client.add_rules), ("remove", "down", client.remove_rules)):
                began = time.monotonic()
                await change(PROJECT, GROUP, ingress=allowed)
                times[word][0].append((watch.until(state) - began) * 1000)
            for word, state, verb in (("add", "up", "acl-add"), ("remove", "down", "acl-del")):
                began = hand.change(verb)
                times[word][1].append((watch.until(state) - began) * 1000)
    return times
