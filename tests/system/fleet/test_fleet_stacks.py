"""On hosts of a fleet, what is asked at a host itself stands beside what the server tells, and neither takes from the
other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from fleet_kit import Fleet

from weftwork.client.errors import Unavailable
from weftwork.client.host_networks import HostClient

pytestmark = pytest.mark.linux

T = TypeVar("T")
VNI = 9_000_007
MACS = {"h1": "02:56:00:00:07:01", "h2": "02:56:00:00:07:02"}
ADDRESSES = {"h1": "10.20.0.71", "h2": "10.20.0.72"}


def at(fleet: Fleet, host: str, call: Callable[[HostClient], Awaitable[T]]) -> T:
    async def asked() -> T:
        async with HostClient(f"unix:{fleet.lab.folder}/{host}/agent/agent.sock") as client:
            return await call(client)

    return asyncio.run(asked())


def answers(fleet: Fleet, host: str) -> bool:
    """The server may have called the host ready before it had missed its agent."""
    try:
        at(fleet, host, lambda client: client.list_nics(7))
    except Unavailable:
        return False
    return True


@pytest.fixture
def spread(fleet: Fleet) -> Iterator[Fleet]:
    """A stack with a guest on h1 and one on h2, in the same range as the tenants."""
    hosts = {name: fleet.lab.state.hosts[name] for name in ("h1", "h2")}
    for name, host in hosts.items():
        host.machine.run("ip", "netns", "add", "alone")
        at(fleet, name, lambda client: client.add_stack(7))
    for name in hosts:
        other = next(one for one in hosts if one != name)
        mine = {"ip": [ADDRESSES[name]], "manual_hwaddr": MACS[name], "netns": "alone"}
        theirs = {"ip": [ADDRESSES[other]], "manual_hwaddr": MACS[other], "underlay": hosts[other].underlay, "vni": VNI}
        at(fleet, name, lambda client, mine=mine: client.add_nic(7, "mine", 5, **mine))  # type: ignore[misc]
        at(fleet, name, lambda client, theirs=theirs: client.add_nic(7, "theirs", 5, **theirs))  # type: ignore[misc]
        hosts[name].machine.run("ip", "-n", "alone", "address", "add", f"{ADDRESSES[name]}/24", "dev", "eth0")
    yield fleet
    for name, host in hosts.items():
        at(fleet, name, lambda client: client.delete_stack(7, cascade=True))
        host.machine.run("ip", "netns", "del", "alone")


def pings(fleet: Fleet, host: str, to: str) -> bool:
    command = ("nsenter", "--net=/run/netns/alone", "ping", "-n", "-c", "1", "-W", "1", to)
    return " 0% packet loss" in fleet.lab.state.hosts[host].machine.run(*command, check=False)


def test_a_stack_spans_hosts_and_is_apart_from_tenants_with_the_same_addresses(spread: Fleet) -> None:
    assert pings(spread, "h1", ADDRESSES["h2"])
    assert pings(spread, "h2", ADDRESSES["h1"])

    red3 = spread.lab.state.guests["red3"].address
    before = spread.echoes("red3")
    assert not pings(spread, "h1", red3)
    assert not spread.lab.ping("red1", ADDRESSES["h1"])
    assert spread.echoes("red3") == before


def test_neither_takes_from_the_other_and_none_of_it_is_a_leak(spread: Fleet) -> None:
    assert spread.cloud.leaks() == []

    spread.cloud.set_groups("lab/red", "red1", [])
    spread.cloud.set_groups("lab/red", "red1", ["default"])
    assert pings(spread, "h1", ADDRESSES["h2"])
    at(spread, "h1", lambda client: client.add_nic(7, "more", 6, ip=["10.20.1.71"]))
    at(spread, "h1", lambda client: client.delete_nic(7, "more"))
    assert spread.lab.ping("red1", "red3") and spread.lab.ping("red2", "red1")
    assert spread.host("h1").failures == 0


def test_both_come_back_when_the_agent_does(spread: Fleet) -> None:
    spread.lab.kill("h1")
    assert pings(spread, "h2", ADDRESSES["h1"])
    spread.lab.heal()
    spread.lab.wait_ready(["h1"])
    spread.until(lambda: answers(spread, "h1"), "the host's own interface")

    assert [one.id for one in at(spread, "h1", lambda client: client.list_nics(7))] == ["mine", "theirs"]
    assert pings(spread, "h1", ADDRESSES["h2"]) and spread.lab.ping("red1", "red3")
    assert spread.cloud.leaks() == []
