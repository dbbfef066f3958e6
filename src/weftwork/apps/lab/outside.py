"""The lab's gateways and its pretend internet: a machine with a switch, to which each gateway has a second cable."""

import signal
from ipaddress import IPv4Network
from pathlib import Path

from weftwork.apps.lab.machine import Machine, end
from weftwork.drivers.gate.files import GateFiles

EXTERNAL = IPv4Network("203.0.113.0/24")
ROUTER = str(EXTERNAL[1])
"""The internet's end of the external network."""
SOMEBODY = "198.51.100.7"
"""A machine of the internet, behind its router."""
BRIDGE = "br-ext"
"""As an operator would have it on each gateway."""
INTERNET = "internet"
_SWITCH, _CABLE = "outside", "eth1"


def boot_internet() -> Machine:
    machine = Machine.boot(INTERNET)
    machine.run("ip", "link", "add", _SWITCH, "type", "bridge", "forward_delay", "0")
    machine.run("ip", "address", "add", f"{ROUTER}/{EXTERNAL.prefixlen}", "dev", _SWITCH)
    machine.run("ip", "address", "add", f"{SOMEBODY}/32", "dev", "lo")
    machine.run("ip", "link", "set", _SWITCH, "up")
    machine.run("nft", "add", "table", "bridge", "lab")
    machine.run("nft", "add", "chain", "bridge", "lab", "cut", "{ type filter hook forward priority -200; }")
    return machine


def cable(internet: Machine, gateway: Machine) -> None:
    """The gateway's bridge, with the cable to the internet under it."""
    here = end_at(gateway.name)
    internet.run("ip", "link", "del", here, check=False)
    far = ("peer", "name", _CABLE, "netns", str(gateway.pid))
    internet.run("ip", "link", "add", here, "type", "veth", *far)
    internet.run("ip", "link", "set", here, "master", _SWITCH, "up")
    gateway.run("ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0")
    gateway.run("ip", "link", "set", _CABLE, "master", BRIDGE, "up")
    gateway.run("ip", "link", "set", BRIDGE, "up")


def uncable(internet: Machine, gateway: str) -> None:
    internet.run("ip", "link", "del", end_at(gateway), check=False)


def cut(internet: Machine, one: str, other: str) -> None:
    """No frame passes between two gateways outside."""
    for here, there in ((one, other), (other, one)):
        ways = ("iifname", end_at(here), "oifname", end_at(there))
        internet.run("nft", "add", "rule", "bridge", "lab", "cut", *ways, "drop")


def join(internet: Machine) -> None:
    internet.run("nft", "flush", "chain", "bridge", "lab", "cut")


def gate_of(folder: Path) -> GateFiles:
    """Of the gateway whose agent has the folder."""
    return GateFiles(folder / "agent" / "gate")


def end_keeper(folder: Path) -> None:
    """It does not end with its machine's first process, as it would with the power."""
    if pid := gate_of(folder).pid():
        end(pid, signal.SIGKILL)


def end_at(gateway: str) -> str:
    return f"to-{gateway}"
