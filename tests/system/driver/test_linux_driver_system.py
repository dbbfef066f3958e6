"""The Linux driver and the world around it: SIGKILL, flows, TAPs in use, announcements, the probe, a restart."""

import asyncio
import fcntl
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from weftwork.base.addresses import Mac
from weftwork.drivers.linux import arp, conntrack, namespaces, netlink, nft, sysctls, taps
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.probe import probe
from weftwork.planner.plan import make_plan
from weftwork.program.linux import (
    Bridge,
    Family,
    InterfaceAddress,
    LinkKind,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    PortLink,
    Sysctl,
    Uplink,
    VlanInterface,
)
from weftwork.program.plan import Create, Delete
from weftwork.program.resource import Program, Resource

pytestmark = pytest.mark.system

PREFIX = os.environ.setdefault("WEFTWORK_TEST_PREFIX", f"wd-{os.getpid()}-")
"""Several test runs do not meet; the victims of one share it."""
VPC, EXTERNAL = f"{PREFIX}sys", f"{PREFIX}ext"
GUESTS = tuple(f"{PREFIX}g{number}" for number in range(3))
OURS = frozenset({VPC, EXTERNAL})
NOTHING: Program = frozenset()


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def within(scope: str, *command: str) -> str:
    return run("ip", "netns", "exec", scope, *command)


def remove_everything() -> None:
    for name in namespaces.names():
        if name.startswith(PREFIX):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture(autouse=True)
def guests() -> Iterator[None]:
    remove_everything()
    for name in GUESTS:
        run("ip", "netns", "add", name)
    yield
    remove_everything()


@pytest.fixture
def driver() -> Iterator[LinuxDriver]:
    one = LinuxDriver()
    yield one
    one.close()


def mac(number: int) -> Mac:
    return Mac(f"02:57:00:00:00:{number:02x}")


def port(number: int, kind: LinkKind = LinkKind.VETH) -> PortLink:
    far = (GUESTS[number], "eth0") if kind is LinkKind.VETH else ("", "")
    return PortLink(VPC, f"port{number}", kind, "br1", mac(number), 1400, 0, *far)


def address(number: int) -> IPv4Address:
    return IPv4Address("10.9.0.10") + number


def network(*ports: PortLink) -> Program:
    """A bridge with a gateway, rules that let everything pass and track it, and the ports."""
    found: set[Resource] = {
        Namespace(VPC, "vpc acme/sys"),
        Sysctl(VPC, "net/ipv4/ip_forward", "1"),
        NftTable(VPC, Family.INET),
        NftSet(VPC, Family.INET, "known", "ipv4_addr"),
        NftChain(
            VPC,
            Family.INET,
            "input",
            "type filter hook input priority filter; policy drop;",
            ("ip saddr @known ct state new accept", "ct state established accept"),
        ),
        Bridge(VPC, "br1", mac(200), 1400),
        InterfaceAddress(VPC, "br1", IPv4Address("10.9.0.1"), 24),
    }
    for number, one in enumerate(ports):
        found |= {
            one,
            Neighbour(VPC, "br1", address(number), one.mac),
            NftElement(VPC, Family.INET, "known", str(address(number))),
        }
    return frozenset(found)


def external() -> Program:
    return frozenset({Namespace(EXTERNAL, "external"), Bridge(EXTERNAL, "ext0", mac(220), 1500)})


async def converge(driver: LinuxDriver, desired: Program) -> None:
    applied = await driver.apply(make_plan(desired=desired, observed=await driver.observe(OURS)))
    assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}
    assert await driver.observe(OURS) == desired


def configure_guest(number: int) -> None:
    within(GUESTS[number], "ip", "address", "add", f"{address(number)}/24", "dev", "eth0")


async def test_packets_pass_between_plugged_namespaces_and_the_gateway(driver: LinuxDriver) -> None:
    await converge(driver, network(port(0), port(1)))
    configure_guest(0)
    configure_guest(1)
    within(GUESTS[0], "ping", "-c1", "-W2", "10.9.0.1")
    within(GUESTS[0], "ping", "-c1", "-W2", str(address(1)))
    assert str(mac(1)) in within(GUESTS[1], "ip", "link", "show", "eth0")
    assert "mtu 1400" in within(GUESTS[1], "ip", "link", "show", "eth0")
    await converge(driver, NOTHING)


async def test_flows_of_a_deleted_port_are_forgotten_and_other_flows_are_kept(driver: LinuxDriver) -> None:
    await converge(driver, network(port(0), port(1)))
    for number in (0, 1):
        configure_guest(number)
        within(GUESTS[number], "ping", "-c1", "-W2", "10.9.0.1")
    assert str(address(1)) in within(VPC, "conntrack", "-L")

    await converge(driver, network(port(0)))

    flows = within(VPC, "conntrack", "-L")
    assert str(address(1)) not in flows
    assert str(address(0)) in flows
    await converge(driver, NOTHING)


async def test_flows_of_an_unplugged_port_are_forgotten_though_its_address_stays_known(driver: LinuxDriver) -> None:
    await converge(driver, network(port(0)))
    configure_guest(0)
    within(GUESTS[0], "ping", "-c1", "-W2", "10.9.0.1")

    assert not (await driver.apply((Delete(port(0)),))).failures

    assert str(address(0)) not in within(VPC, "conntrack", "-L")
    await converge(driver, NOTHING)


async def test_a_tap_held_open_by_a_machine_keeps_nothing_alive(driver: LinuxDriver) -> None:
    await converge(driver, network(port(0, LinkKind.TAP), port(1)))
    held: list[int] = []
    with namespaces.opened(VPC) as descriptor, namespaces.inside(descriptor):
        file = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", b"port0", 0x0002 | 0x1000 | 0x4000))
        held.append(file)

    await converge(driver, NOTHING)

    # The guest's end would still be there if the namespace, or the link in it, were.
    assert "eth0" not in within(GUESTS[1], "ip", "-br", "link")
    with pytest.raises(OSError, match="bad state"):
        os.write(held[0], bytes(100))
    os.close(held[0])


async def test_an_address_on_an_uplink_is_announced(driver: LinuxDriver) -> None:
    await converge(driver, external())
    uplink = Uplink(VPC, "ext0", mac(221), 1500, "upsys", EXTERNAL, "ext0")
    with namespaces.opened(EXTERNAL) as descriptor, namespaces.inside(descriptor):
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        listener.bind(("ext0", 0))
    listener.settimeout(5)
    floating = InterfaceAddress(VPC, "ext0", IPv4Address("198.51.100.9"), 32)
    with listener:
        await converge(driver, external() | network() | {uplink, floating})
        frame = await asyncio.to_thread(listener.recv, 2000)
    assert frame[:6] == b"\xff" * 6
    assert frame[6:12] == bytes.fromhex(uplink.mac.replace(":", ""))
    assert frame[28:32] == frame[38:42] == floating.address.packed
    await converge(driver, NOTHING)


async def test_a_restart_with_many_ports_writes_nothing(driver: LinuxDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [port(number, LinkKind.TAP) for number in range(100)]
    desired = network(*ports)
    await converge(driver, desired)
    heir = LinuxDriver()
    observed = await heir.observe(OURS)
    assert make_plan(desired=desired, observed=observed) == ()

    def written(*_: object, **__: object) -> None:
        raise AssertionError("an empty plan writes nothing")

    for owner, name in (
        (netlink.Socket, "exchange"),
        (nft, "commit"),
        (sysctls, "write"),
        (taps, "create"),
        (arp, "announce"),
        (conntrack, "forget"),
    ):
        monkeypatch.setattr(owner, name, written)
    assert not (await heir.apply(())).failures
    monkeypatch.undo()
    heir.close()
    await converge(driver, NOTHING)


async def test_a_bridge_that_is_full_fails_the_port_by_name(driver: LinuxDriver) -> None:
    """The kernel's bridge has room for 1023 ports (BR_MAX_PORTS)."""
    taps_ = [
        PortLink(VPC, f"t{number}", LinkKind.TAP, "br1", Mac(f"02:57:00:01:{number >> 8:02x}:{number & 255:02x}"), 1400)
        for number in range(1024)
    ]
    await converge(driver, network())
    applied = await driver.apply(tuple(map(Create, taps_)))
    assert {failure.code for failure in applied.failures.values()} == {"BRIDGE_FULL"}
    assert len(applied.failures) == 1
    await converge(driver, NOTHING)


ENDLESS = """
import asyncio, sys
sys.path.insert(0, {here!r})
import test_linux_driver_system as world
from weftwork.drivers.linux.driver import LinuxDriver

async def work():
    driver = LinuxDriver()
    full = world.external() | world.everything()
    print("started", flush=True)
    while True:
        for desired in (full, world.external(), full, world.NOTHING):
            await driver.apply(world.make_plan(desired=desired, observed=await driver.observe(world.OURS)))

asyncio.run(work())
"""


def everything() -> Program:
    uplink = Uplink(VPC, "ext0", mac(221), 1500, "upsys", EXTERNAL, "ext0")
    return network(port(0), port(1), port(2, LinkKind.TAP)) | {
        uplink,
        InterfaceAddress(VPC, "ext0", IPv4Address("198.51.100.9"), 32),
    }


def killed_after(seconds: float, *command: str) -> None:
    """Run until the command says its first word, then that much longer."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        victim.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(seconds)
        victim.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("seed", range(12))
async def test_after_sigkill_at_any_moment_the_next_driver_gets_there(driver: LinuxDriver, seed: int) -> None:
    script = ENDLESS.format(here=str(Path(__file__).parent))
    await asyncio.to_thread(killed_after, random.Random(seed).uniform(0.0, 0.25), sys.executable, "-c", script)

    full = external() | everything()
    async with asyncio.timeout(20):
        # The kernel may still be ending a namespace the victim deleted.
        while (observed := await driver.observe(OURS)) != full:
            await driver.apply(make_plan(desired=full, observed=observed))
    await converge(driver, NOTHING)
    assert not set(namespaces.names()) & OURS


def vlan_network() -> Program:
    """One filtering bridge, two subnets of VLANs 10 and 20, a port in each and a second one in the first."""
    legs = {vlan: VlanInterface(VPC, f"br0.{vlan}", "br0", vlan, mac(200), 1400) for vlan in (10, 20)}
    found: set[Resource] = {
        Namespace(VPC, "vpc acme/sys"),
        Bridge(VPC, "br0", mac(200), 1400, vlan_filtering=True),
        *legs.values(),
        InterfaceAddress(VPC, "br0.10", IPv4Address("10.9.0.1"), 24),
        InterfaceAddress(VPC, "br0.20", IPv4Address("10.9.1.1"), 24),
    }
    for number, vlan in ((0, 10), (1, 10), (2, 20)):
        found.add(PortLink(VPC, f"port{number}", LinkKind.VETH, "br0", mac(number), 1400, vlan, GUESTS[number], "eth0"))
    return frozenset(found)


@pytest.mark.skipif(not probe().has("802.1Q"), reason="this kernel has no VLANs")
async def test_the_vlan_layout_keeps_subnets_apart_and_is_repaired(driver: LinuxDriver) -> None:
    desired = vlan_network()
    await converge(driver, desired)
    for number in range(3):
        configure_guest(number)
    within(GUESTS[0], "ping", "-c1", "-W2", "10.9.0.1")
    within(GUESTS[0], "ping", "-c1", "-W2", str(address(1)))
    with pytest.raises(subprocess.CalledProcessError):
        within(GUESTS[0], "ping", "-c1", "-W1", str(address(2)))
    for breakage in (
        ("bridge", "vlan", "delete", "vid", "10", "dev", "port0"),
        ("bridge", "vlan", "add", "vid", "20", "dev", "port0"),
        ("bridge", "vlan", "delete", "vid", "20", "dev", "br0", "self"),
        ("ip", "link", "delete", "br0.20"),
        ("bridge", "fdb", "delete", mac(1), "dev", "port1", "master", "vlan", "10"),
    ):
        within(VPC, *breakage)
        assert await driver.observe(OURS) != desired, breakage
        await converge(driver, desired)
    moved = frozenset(
        replace(one, vlan=20, bridge="br0") if isinstance(one, PortLink) and one.name == "port1" else one
        for one in desired
    )
    await converge(driver, moved)
    await converge(driver, NOTHING)


def test_the_probe_finds_this_kernel_usable_and_leaves_nothing() -> None:
    home = Path("/proc/thread-self/ns/net").stat().st_ino
    found = probe()
    assert found.missing == ()
    assert set(found.filter_modes) <= {"bridge", "br_netfilter"} and found.filter_modes
    assert found.layouts[0] == "bridges"
    assert found.nft_version
    assert any("filtered by" in line for line in found.lines)
    assert Path("/proc/thread-self/ns/net").stat().st_ino == home
    assert not {"br0", "br1", "port", "far", "tap1"} & {
        line.split()[0] for line in run("ip", "-br", "link").splitlines()
    }
