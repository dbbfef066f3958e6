"""VTEPs and what is behind them: observed as they were asked for, repaired, and gone without a trace."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from weftwork.base.addresses import Mac
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.probe import probe
from weftwork.planner.plan import make_plan
from weftwork.program.linux import (
    Bridge,
    Family,
    Namespace,
    NftElement,
    NftSet,
    NftTable,
    RemoteEntry,
    VlanInterface,
    Vtep,
)
from weftwork.program.resource import Program

SCOPE = "weft-test-remote"
MAC, GATEWAY = Mac("02:57:00:00:00:01"), Mac("02:47:00:00:00:01")
H2, H3 = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.3")
BRIDGE = Bridge(SCOPE, "br1", GATEWAY, 1450)
VTEP = Vtep(SCOPE, "vx1", "br1", 7001, IPv4Address("192.0.2.1"), Mac("02:47:00:00:00:02"), 1450)
ENTRY = RemoteEntry(SCOPE, "vx1", MAC, H2)
GROUND: Program = frozenset({Namespace(SCOPE, "vpc acme/web"), BRIDGE})
PROGRAM: Program = GROUND | {VTEP, ENTRY}
OWN: Program = frozenset(
    {
        NftTable("", Family.INET),
        NftSet("", Family.INET, "vteps", "ipv4_addr"),
        NftElement("", Family.INET, "vteps", str(H2)),
    }
)


@pytest.fixture
def driver() -> Iterator[LinuxDriver]:
    one = LinuxDriver(prefix=SCOPE, underlay=True)
    yield one
    asyncio.run(_become(one, frozenset()))
    one.close()


async def test_a_vtep_without_a_bridge_is_observed_as_it_was_asked_for_and_moves_its_end(driver: LinuxDriver) -> None:
    tunnel = Vtep(SCOPE, "in0", "", 7002, IPv4Address("192.0.2.1"), Mac("02:47:00:00:00:03"), 1450)
    entry = RemoteEntry(SCOPE, "in0", MAC, H2, bridged=False)
    ground: Program = frozenset({Namespace(SCOPE, "gateway acme/web"), tunnel})

    await _become(driver, ground | {entry})
    await _become(driver, ground | {replace(entry, host=H3)})
    await _become(driver, frozenset({Namespace(SCOPE, "gateway acme/web"), replace(tunnel, vni=7003)}))
    await _become(driver, ground)


async def _become(driver: LinuxDriver, program: Program) -> None:
    applied = await driver.apply(make_plan(desired=program, observed=await driver.observe()))
    assert applied.failures == {}
    assert await driver.observe() == program


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _inside(*command: str) -> str:
    return _run("ip", "netns", "exec", SCOPE, *command)


async def test_what_is_applied_is_observed_and_goes_without_a_trace(driver: LinuxDriver) -> None:
    before = _run("ip", "-o", "link")

    await _become(driver, PROGRAM | OWN)
    await _become(driver, frozenset())

    assert _run("ip", "-o", "link") == before


async def test_a_mac_that_moves_to_another_host_is_behind_that_one(driver: LinuxDriver) -> None:
    await _become(driver, PROGRAM)

    await _become(driver, PROGRAM - {ENTRY} | {replace(ENTRY, host=H3)})

    assert f"{MAC} dst {H3}" in _inside("bridge", "fdb", "show", "dev", "vx1")
    assert str(H2) not in _inside("bridge", "fdb", "show", "dev", "vx1")


@pytest.mark.parametrize(
    "damage",
    [
        ("bridge", "fdb", "delete", MAC, "dev", "vx1", "self"),
        ("bridge", "fdb", "delete", MAC, "dev", "vx1", "master"),
        ("bridge", "fdb", "replace", MAC, "dev", "vx1", "dst", str(H3), "self"),
        ("bridge", "link", "set", "dev", "vx1", "learning", "on"),
        ("bridge", "link", "set", "dev", "vx1", "neigh_suppress", "off"),
        ("bridge", "link", "set", "dev", "vx1", "flood", "on"),
        ("bridge", "link", "set", "dev", "vx1", "bcast_flood", "on"),
        ("ip", "link", "set", "vx1", "down"),
        ("ip", "link", "set", "vx1", "nomaster"),
        ("ip", "link", "set", "vx1", "mtu", "1400"),
        ("ip", "link", "delete", "vx1"),
        ("bridge", "fdb", "append", "02:57:00:00:00:09", "dev", "vx1", "dst", str(H3), "self"),
    ],
)
async def test_what_somebody_else_changes_is_seen_and_repaired(driver: LinuxDriver, damage: tuple[str, ...]) -> None:
    await _become(driver, PROGRAM)

    _inside(*damage)

    assert await driver.observe() != PROGRAM
    await _become(driver, PROGRAM)


@pytest.mark.parametrize(
    "other",
    [replace(VTEP, vni=7002), replace(VTEP, local=H3), replace(VTEP, mtu_bytes=1400), replace(VTEP, mac=GATEWAY)],
)
async def test_a_vtep_becomes_another_one(driver: LinuxDriver, other: Vtep) -> None:
    await _become(driver, GROUND | {VTEP})

    await _become(driver, GROUND | {other})


@pytest.mark.stock
@pytest.mark.skipif("vlan" not in probe().layouts, reason="this kernel has no layout vlan")
async def test_under_a_bridge_that_filters_vlans_it_is_in_the_vlan_of_its_subnet_and_changes_it(
    driver: LinuxDriver,
) -> None:
    bridge = replace(BRIDGE, name="br0", vlan_filtering=True)
    ground = GROUND - {BRIDGE} | {bridge, VlanInterface(SCOPE, "br0.7", "br0", 7, GATEWAY, 1450)}
    vtep, entry = replace(VTEP, bridge="br0", vlan=7), replace(ENTRY, vlan=7)
    await _become(driver, ground | {vtep, entry})
    assert "7 PVID Egress Untagged" in _inside("bridge", "vlan", "show", "dev", "vx1")

    _inside("bridge", "vlan", "add", "dev", "vx1", "vid", "9")
    assert await driver.observe() != ground | {vtep, entry}
    await _become(driver, ground | {vtep, entry})

    await _become(driver, ground | {replace(vtep, vlan=8), replace(entry, vlan=8)})
    assert "7 PVID" not in _inside("bridge", "vlan", "show", "dev", "vx1")


async def test_in_the_hosts_own_namespace_only_our_table_is_seen_and_touched(driver: LinuxDriver) -> None:
    _run("nft", "add", "table", "inet", "operator")
    try:
        await _become(driver, OWN)
        await _become(driver, frozenset())
        listed = _run("nft", "list", "tables")
        assert "operator" in listed
        assert "weftwork" not in listed
    finally:
        _run("nft", "delete", "table", "inet", "operator")


async def test_a_vni_is_free_as_soon_as_its_namespace_is_gone(driver: LinuxDriver) -> None:
    """The kernel takes a namespace apart in its own time; the device would hold the VNI until then."""
    for _ in range(3):
        await _become(driver, PROGRAM)
        await _become(driver, frozenset())
