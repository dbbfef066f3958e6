"""From a rule change to packets that obey it, in a group of 1,000 ports, beside the same change by hand with nft -f."""

import asyncio
import contextlib
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Figure
from bench.run import Run
from bench.watch import Watch
from bench.world import attach_many, guest, node
from weftwork.client.client import Client
from weftwork.client.rules import rule
from weftwork.testing.cloud import Cloud
from weftwork.testing.guests import run as run_command

PROJECT, GROUP, SUBNET = "bench/rules", "many", "many"
PORTS = 1000
PING_S = 0.0004
ROUNDS_FACTOR = 3


def measure(run: Run) -> list[Figure]:
    ports = run.size(PORTS, 5)
    with _scene(run, ports) as (address, netns, source, target, source_ip):
        asyncio.run(_warm(address))
        with Watch(source, target, PING_S) as watch:
            times = asyncio.run(_changes(run, address, Hand(run.fresh_folder("rules"), netns, source_ip), watch))
    what = f"until packets obey, group of {ports:,} ports"
    return [
        Figure(f"rule added {what}", "ms", *times["add"], "nft -f", must=10.0, aim=3.0),
        Figure(f"rule removed {what}", "ms", *times["remove"], "nft -f", must=10.0, aim=3.0),
    ]


@contextlib.contextmanager
def _scene(run: Run, ports: int) -> Iterator[tuple[str, str, str, str, str]]:
    """The API's address, the VPC's namespace, the guest that pings, the address it pings, and its own."""
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(node(run.fresh_folder("rules")))
        cloud = stack.enter_context(running.cloud())
        cloud.vpc(PROJECT)
        cloud.subnet(PROJECT, SUBNET, _roomy(cloud))
        cloud.group(PROJECT, GROUP)
        attach_many(running.address, PROJECT, SUBNET, ports, group=GROUP)
        source = stack.enter_context(guest(cloud, PROJECT, "source", subnet=SUBNET))
        target = stack.enter_context(guest(cloud, PROJECT, "target", subnet=SUBNET, group=GROUP))
        netns = cloud.port_info(PROJECT, "target").device_netns
        yield running.address, netns, source.name, target.address, source.address


def _roomy(cloud: Cloud) -> str:
    return cloud.vpc_info(PROJECT).cidr.split("/")[0].rsplit(".", 2)[0] + ".16.0/20"


async def _warm(address: str) -> None:
    async with await Client.connect(address) as client:
        await client.add_rules(PROJECT, GROUP, ingress=[rule("tcp", "192.0.2.1/32", 1)])
        await client.remove_rules(PROJECT, GROUP, ingress=[rule("tcp", "192.0.2.1/32", 1)])


async def _changes(
    run: Run, address: str, hand: "Hand", watch: Watch
) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Milliseconds of ours and by hand, for adding and removing."""
    ours: dict[str, list[float]] = {"add": [], "remove": []}
    theirs: dict[str, list[float]] = {"add": [], "remove": []}
    allowed = [rule("icmp", f"{hand.source_ip}/32")]
    async with await Client.connect(address) as client:
        for _ in range(run.rounds * ROUNDS_FACTOR):
            for word, state, change in (("add", "up", client.add_rules), ("remove", "down", client.remove_rules)):
                began = time.monotonic()
                await change(PROJECT, GROUP, ingress=allowed)
                ours[word].append((watch.until(state) - began) * 1000)
            for word, state, by_hand in (("add", "up", hand.add), ("remove", "down", hand.remove)):
                began = by_hand()
                theirs[word].append((watch.until(state) - began) * 1000)
    return {word: (tuple(ours[word]), tuple(theirs[word])) for word in ours}


class Hand:
    """An operator who changes the same ruleset with nft -f: the set, the rule, and the epoch.

    In the end everything is as the node left it, which would otherwise have to repair it first.
    """

    def __init__(self, folder: Path, netns: str, source_ip: str) -> None:
        self.source_ip = source_ip
        self._file = folder / "change.nft"
        self._enter = ["nsenter", f"--net=/run/netns/{netns}"]
        self._families = self._judging_families()

    def add(self) -> float:
        """When it began; the file was ready."""
        self._epoch, self._other_epoch = self._present_epoch(), secrets.randbits(31) | 1
        lines: list[str] = []
        for family in self._families:
            chain = f"{family} weftwork in.{GROUP}"
            lines += [
                f"add set {chain}.1 {{ type ipv4_addr; flags interval; }}",
                f"add element {chain}.1 {{ {self.source_ip} }}",
                f"add rule {chain} meta l4proto 1 ct original ip saddr @in.{GROUP}.1 goto stamp",
                *_new_epoch(family, self._epoch, self._other_epoch),
            ]
        return self._commit(lines)

    def remove(self) -> float:
        """Takes back what was added; when it began."""
        lines: list[str] = []
        for family in self._families:
            chain = f"{family} weftwork in.{GROUP}"
            lines += [
                f"flush chain {chain}",
                f"delete set {chain}.1",
                *_new_epoch(family, self._other_epoch, self._epoch),
            ]
        return self._commit(lines)

    def _commit(self, lines: list[str]) -> float:
        self._file.write_text("\n".join(lines) + "\n")
        began = time.monotonic()
        done = subprocess.run([*self._enter, "nft", "-f", str(self._file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-400:]
        return began

    def _present_epoch(self) -> int:
        shown = run_command(*self._enter, "nft", "list", "set", self._families[0], "weftwork", "epoch")
        (epoch,) = re.findall(r"0x[0-9a-f]{8}", shown)
        return int(epoch, 16)

    def _judging_families(self) -> list[str]:
        """The tables that hold the policy: which, depends on the kernel."""
        shown = run_command(*self._enter, "nft", "list", "chains")
        tables = [part.split(" weftwork")[0] for part in shown.split("table ")[1:] if f"chain in.{GROUP} " in part]
        assert tables, "no table has the group's chain"
        return tables


def _new_epoch(family: str, old: int, new: int) -> list[str]:
    """Otherwise flows that were judged before would go on as they were judged."""
    return [
        f"delete element {family} weftwork epoch {{ 0x{old:08x} }}",
        f"add element {family} weftwork epoch {{ 0x{new:08x} }}",
        f"delete element {family} weftwork stamp {{ 2 }}",
        f"add element {family} weftwork stamp {{ 2 : 0x{new:08x} }}",
    ]
