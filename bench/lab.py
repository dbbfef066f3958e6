"""Two guests on two hosts of a lab, and two namespaces on the same hosts that VXLAN by hand joins."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weftwork.apps.lab.lab import Lab
from weftwork.apps.lab.machine import Machine

PROJECT = "lab/red"
FAR_NAMES = "red1", "red3"
"""Guests of one subnet of the lab's, on the first host and on the third."""
NEXT_NAMES = "red1", "red2"
"""In two subnets."""
_BY_HAND_VNI, _BY_HAND_PORT = "999", "4790"
_BY_HAND_MTU = "1450"


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace on a machine of the lab. `interface` leads out of it."""

    machine: Machine
    name: str
    address: str
    interface: str = "eth0"

    def command(self, *words: str) -> list[str]:
        """The words, to be run in there."""
        return list(self.machine.inside("nsenter", f"--net=/run/netns/{self.name}", "--", *words))

    def run(self, *words: str, timeout_s: float = 30.0) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=timeout_s)
        assert not done.returncode, f"{' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout


@contextlib.contextmanager
def lab(folder: Path, hosts: int, *, with_guests: bool = True) -> Iterator[Lab]:
    one = Lab(folder)
    one.up(hosts, with_guests=with_guests)
    try:
        yield one
    finally:
        one.down()


def place_of(of: Lab, guest: str) -> Place:
    known = of.state.guests[guest]
    return Place(of.state.hosts[known.host].machine, guest, known.address)


@contextlib.contextmanager
def by_hand(of: Lab, hosts: tuple[str, str]) -> Iterator[tuple[Place, Place]]:
    """A bridge with a VTEP and a namespace on each of the two hosts: no rules, and everything is learned."""
    ends = [of.state.hosts[name] for name in hosts]
    places = []
    for number, (here, there) in enumerate(zip(ends, reversed(ends), strict=True), 1):
        name, address = f"hand{number}", f"10.99.0.{number}"
        for words in (
            "ip link add hand-br type bridge mcast_snooping 0 stp_state 0 forward_delay 0",
            f"ip link add hand-vx type vxlan id {_BY_HAND_VNI} local {here.underlay} remote {there.underlay} "
            f"dstport {_BY_HAND_PORT}",
            "ip link set hand-vx master hand-br mtu 1450 up",
            f"ip netns add {name}",
            f"ip link add hand-port mtu {_BY_HAND_MTU} type veth peer name eth0 mtu {_BY_HAND_MTU} netns {name}",
            "ip link set hand-port master hand-br up",
            "ip link set hand-br up",
            f"ip -n {name} addr add {address}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
        ):
            here.machine.run(*words.split())
        places.append(Place(here.machine, name, address))
    first, second = places
    try:
        first.run("ping", "-c", "3", "-i", "0.2", "-w", "10", second.address)
        yield first, second
    finally:
        for here, place in zip(ends, places, strict=True):
            for words in ("ip link del hand-vx", f"ip netns del {place.name}", "ip link del hand-br"):
                here.machine.run(*words.split(), check=False)


def netns_of(place: Place) -> str:
    """Where its namespace is to be found from here."""
    return f"/proc/{place.machine.pid}/root/run/netns/{place.name}"
