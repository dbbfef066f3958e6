"""Three guests in two subnets, twice: as our node makes it, and by hand with the same devices and no rules."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.world import guest, node
from weftwork.testing.guests import Guest, run

OFFLOADS = ("tcp-segmentation-offload", "generic-segmentation-offload", "generic-receive-offload", "tx-checksumming")


@dataclass(frozen=True, slots=True)
class Trio:
    """`near` is in the subnet of `source`, `far` in the other."""

    source: Guest
    near: Guest
    far: Guest

    def address_of(self, one: Guest) -> str:
        address = one.address
        assert address, f"{one.name} has no address"
        return address


@contextlib.contextmanager
def ours_and_by_hand(folder: Path) -> Iterator[tuple[Trio, Trio]]:
    with ours(folder) as mine, by_hand() as theirs:
        for one, other in ((mine.source, theirs.source), (mine.near, theirs.near), (mine.far, theirs.far)):
            assert offloads(one) == offloads(other), "the two topologies offload differently"
            assert one.mtu_bytes == other.mtu_bytes, "the two topologies have different MTUs"
        yield mine, theirs


@contextlib.contextmanager
def ours(folder: Path, *, backend: str = "") -> Iterator[Trio]:
    """All in one group, which lets its members talk."""
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(node(folder, backend=backend))
        cloud = stack.enter_context(running.cloud())
        project = "bench/trio"
        cloud.vpc(project)
        cloud.subnet(project, "other")
        places = (("source", "default"), ("near", "default"), ("far", "other"))
        yield Trio(*(stack.enter_context(guest(cloud, project, name, subnet=subnet)) for name, subnet in places))


@contextlib.contextmanager
def by_hand() -> Iterator[Trio]:
    """A router namespace with two bridges; its sysctls are the kernel's own but for forwarding."""
    router = "hand-router"
    run("ip", "netns", "add", router)
    try:
        run("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number in (1, 2):
            _ip(router, f"link add br{number} type bridge mcast_snooping 0 stp_state 0 forward_delay 0")
            _ip(router, f"addr add 10.99.{number}.1/24 dev br{number}")
            _ip(router, f"link set br{number} up")
        with contextlib.ExitStack() as stack:
            places = (("source", 1, 10), ("near", 1, 11), ("far", 2, 10))
            yield Trio(*(stack.enter_context(_cabled(router, *place)) for place in places))
    finally:
        run("ip", "netns", "del", router)


@contextlib.contextmanager
def _cabled(router: str, name: str, bridge: int, number: int) -> Iterator[Guest]:
    with Guest.boot(f"hand-{name}") as one:
        _ip(router, f"link add {name} type veth peer name eth0 netns {one.name}")
        _ip(router, f"link set {name} master br{bridge} up")
        one.configure(f"10.99.{bridge}.{number}/24", f"10.99.{bridge}.1")
        yield one


def _ip(netns: str, words: str) -> None:
    run("ip", "-n", netns, *words.split())


def offloads(one: Guest) -> dict[str, str]:
    """Of the guest's interface, in ethtool's words."""
    shown = run("ip", "netns", "exec", one.name, "ethtool", "-k", one.interface)
    found = dict(re.findall(r"^([\w-]+): (\w+)", shown, re.MULTILINE))
    return {name: found[name] for name in OFFLOADS}
