"""Lines that yield to a routing daemon's: what it wrote stands, and ours stand where it wrote nothing."""

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from weftwork.base.addresses import Mac
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.planner.plan import make_plan
from weftwork.program.linux import Bridge, InterfaceAddress, Namespace, Neighbour, RemoteEntry, Vtep
from weftwork.program.resource import Program

SCOPE = "weft-test-yielding"
MAC, GATEWAY = Mac("02:57:00:00:00:01"), Mac("02:47:00:00:00:01")
NOBODYS = Mac("02:57:00:00:00:77")
ADDRESS = IPv4Address("10.0.0.2")
H2, H3 = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.3")
VTEP = Vtep(SCOPE, "vx1", "br1", 7101, IPv4Address("192.0.2.1"), Mac("02:47:00:00:00:02"), 1450)
ENTRY = RemoteEntry(SCOPE, "vx1", MAC, H2, yields=True)
NEIGHBOUR = Neighbour(SCOPE, "br1", ADDRESS, MAC, yields=True)
GROUND: Program = frozenset(
    {
        Namespace(SCOPE, "vpc acme/web"),
        Bridge(SCOPE, "br1", GATEWAY, 1450),
        VTEP,
        InterfaceAddress(SCOPE, "br1", IPv4Address("10.0.0.1"), 24),
    }
)
PROGRAM: Program = GROUND | {ENTRY, NEIGHBOUR}
STATIC: Program = GROUND | {replace(ENTRY, yields=False), replace(NEIGHBOUR, yields=False)}


class Daemon:
    """Stands for zebra."""

    is_on = True

    async def welcome(self, scopes: frozenset[str]) -> None:
        self.welcomed = (scopes, _inside("ip", "-o", "link"))


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def driver(daemon: Daemon) -> Iterator[LinuxDriver]:
    one = LinuxDriver(prefix=SCOPE, beside=daemon)
    yield one
    daemon.is_on = False
    asyncio.run(_become(one, frozenset()))
    one.close()


async def _become(driver: LinuxDriver, program: Program) -> None:
    applied = await driver.apply(make_plan(desired=program, observed=await driver.observe()))
    assert applied.failures == {}
    assert await driver.observe() == program


def _inside(*command: str) -> str:
    return subprocess.run(("ip", "netns", "exec", SCOPE, *command), check=True, capture_output=True, text=True).stdout


def _learn(mac: Mac, address: IPv4Address, host: IPv4Address) -> None:
    """As zebra writes it."""
    _inside("bridge", "fdb", "replace", mac, "dev", "vx1", "self", "master", "extern_learn", "dst", str(host))
    neighbour = ("ip", "neigh", "replace", str(address), "lladdr", mac, "dev", "br1", "nud", "noarp")
    _inside(*neighbour, "extern_learn", "proto", "zebra")


def _lines() -> str:
    return _inside("bridge", "fdb", "show", "dev", "vx1") + _inside("ip", "neigh", "show")


async def test_a_new_namespace_is_shown_before_anything_is_in_it(driver: LinuxDriver, daemon: Daemon) -> None:
    await _become(driver, PROGRAM)

    scopes, links = daemon.welcomed
    assert scopes == {SCOPE}
    assert "br1" not in links and "lo:" in links


async def test_ours_stand_where_nothing_was_learned(driver: LinuxDriver) -> None:
    await _become(driver, PROGRAM)

    assert f"dst {H2}" in _lines()
    assert f"{ADDRESS} dev br1 lladdr {MAC}" in _lines()


async def test_what_was_learned_stands_wherever_it_leads(driver: LinuxDriver) -> None:
    await _become(driver, PROGRAM)

    _learn(MAC, ADDRESS, H3)
    assert await driver.observe() == PROGRAM, "it would be fought"
    await _become(driver, GROUND | {NEIGHBOUR, replace(ENTRY, host=IPv4Address("192.0.2.9"))})

    assert f"dst {H3}" in _lines()
    assert "192.0.2.9" not in _lines()


async def test_an_agent_that_starts_anew_leaves_what_was_learned(driver: LinuxDriver, daemon: Daemon) -> None:
    await _become(driver, PROGRAM)
    _learn(MAC, ADDRESS, H3)

    again = LinuxDriver(prefix=SCOPE, beside=daemon)
    await _become(again, PROGRAM)
    again.close()

    assert f"dst {H3}" in _lines()


async def test_what_was_learned_of_nobodys_is_not_ours_to_judge(driver: LinuxDriver) -> None:
    await _become(driver, PROGRAM)

    _learn(NOBODYS, IPv4Address("10.0.0.77"), H3)

    assert await driver.observe() == PROGRAM


async def test_where_it_goes_ours_come_again(driver: LinuxDriver) -> None:
    await _become(driver, PROGRAM)
    _learn(MAC, ADDRESS, H3)
    for which in ("self", "master"):
        _inside("bridge", "fdb", "delete", MAC, "dev", "vx1", which)
    _inside("ip", "neigh", "delete", str(ADDRESS), "dev", "br1")

    assert await driver.observe() != PROGRAM
    await _become(driver, PROGRAM)

    assert f"dst {H2}" in _lines()


async def test_a_port_that_is_gone_takes_what_was_learned_of_it_along(driver: LinuxDriver) -> None:
    await _become(driver, PROGRAM)
    _learn(MAC, ADDRESS, H3)

    await _become(driver, GROUND)

    assert MAC not in _lines()


async def test_without_a_daemon_everything_is_ours_again(driver: LinuxDriver, daemon: Daemon) -> None:
    await _become(driver, PROGRAM)
    _learn(MAC, ADDRESS, H3)
    _learn(NOBODYS, IPv4Address("10.0.0.77"), H3)
    _inside("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx1", "dst", str(H3))

    daemon.is_on = False
    await _become(driver, STATIC)

    assert "extern_learn" not in _lines()
    assert str(H3) not in _lines()
    assert f"dst {H2}" in _lines()
