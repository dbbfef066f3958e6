"""Two gateways and a pretend internet: out and in by the active one, whichever it is, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet_kit import BLUE, RED, Fleet

from weftwork.apps.lab import outside
from weftwork.apps.lab.lab import GATEWAYS, UNDERLAY
from weftwork.apps.lab.machine import Machine, end
from weftwork.testing.cloud import allow
from weftwork.testing.patience import patient

pytestmark = pytest.mark.linux

STREAM = Path(__file__).with_name("stream.py")
GAP_S = 1.0
"""Alone it is 0.22 s: three missed beats of 50 ms, and TCP's first repetition. A busy machine is late with anything."""


def inside_of(fleet: Fleet, where: str) -> tuple[str, ...]:
    if where == outside.INTERNET:
        return fleet.lab.internet.inside()
    guest = fleet.lab.state.guests[where]
    machine = fleet.lab.state.hosts[guest.host].machine
    return machine.inside("nsenter", f"--net=/run/netns/{where}", "--")


@contextmanager
def serving(fleet: Fleet, where: str, port: int) -> Iterator[None]:
    command = (*inside_of(fleet, where), sys.executable, str(STREAM), "serve", str(port))
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        end(running.pid, signal.SIGKILL)
        running.wait()


def call(fleet: Fleet, where: str, address: str, port: int, *, timeout_s: float = 0.5) -> str:
    """As whom the server sees the caller; empty when nobody answers."""
    command = (*inside_of(fleet, where), sys.executable, str(STREAM), "call", address, str(port), str(timeout_s))
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


class Stream:
    """A flow with an echo every 10 ms, until `end`."""

    def __init__(self, fleet: Fleet, where: str, address: str, port: int) -> None:
        command = (*inside_of(fleet, where), sys.executable, str(STREAM), "stream", address, str(port))
        self._running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._running.stdout is not None and self._running.stdout.readline() == "connected\n"

    def end(self) -> float:
        """The longest gap, in seconds. AssertionError when the flow had broken."""
        said, _ = self._running.communicate("\n", timeout=60)
        assert said.startswith("lived "), said
        return float(said.split()[1])


def active(fleet: Fleet) -> str:
    found: list[str] = []

    def is_one() -> bool:
        found[:] = fleet.lab.active_gateways()
        return len(found) == 1

    fleet.until(is_one, "one gateway is active")
    return found[0]


def snat_of(fleet: Fleet, project: str) -> str:
    async def look() -> str:
        return next(iter([one.external_ip async for one in fleet.cloud.client.list_snats(project)]))

    (found,) = fleet.cloud.gather(look())
    return found


def test_guests_on_all_hosts_leave_with_their_tenants_address(fleet: Fleet) -> None:
    with serving(fleet, outside.INTERNET, 8001):
        seen = {name: call(fleet, name, outside.SOMEBODY, 8001) for name in ("red1", "red2", "red3", "blue1")}

    red, blue = snat_of(fleet, RED), snat_of(fleet, BLUE)
    assert red != blue
    assert seen == {"red1": red, "red2": red, "red3": red, "blue1": blue}


def test_nobody_comes_in_by_an_address_that_only_leaves(fleet: Fleet) -> None:
    inner = fleet.lab.state.guests["red2"].address
    with serving(fleet, "red2", 8002):
        assert not call(fleet, outside.INTERNET, snat_of(fleet, RED), 8002)
        fleet.lab.internet.run("ip", "route", "add", "10.20.0.0/16", "via", snat_of(fleet, RED))
        try:
            assert not call(fleet, outside.INTERNET, inner, 8002)
        finally:
            fleet.lab.internet.run("ip", "route", "del", "10.20.0.0/16")


def test_an_outer_port_leads_to_a_guest_on_any_host_under_its_groups_and_ends_with_its_rule(fleet: Fleet) -> None:
    cloud, outer = fleet.cloud, snat_of(fleet, RED)
    target = fleet.lab.state.guests["red2"].address
    cloud.group(RED, "web", ingress=[allow("tcp", 8003, "0.0.0.0/0")])
    cloud.dnat(RED, outer, 80, "tcp", target, 8003)
    try:
        with serving(fleet, "red2", 8003):
            assert not call(fleet, outside.INTERNET, outer, 80), "its group lets nobody in from outside"

            cloud.set_groups(RED, "red2", ["default", "web"])
            assert call(fleet, outside.INTERNET, outer, 80) == outside.ROUTER, "the guest sees the real client"
            assert call(fleet, "blue1", outer, 80) == snat_of(fleet, BLUE), "another tenant is outside"
            assert not call(fleet, outside.INTERNET, outer, 8003)

            flow = Stream(fleet, outside.INTERNET, outer, 80)
            cloud.delete_dnat(RED, outer, 80, "tcp")
            assert not call(fleet, outside.INTERNET, outer, 80)
            with pytest.raises(AssertionError, match="broken"):
                flow.end()
    finally:
        cloud.set_groups(RED, "red2", ["default"])
        cloud.do(cloud.client.delete_security_group(RED, "web"))


def test_a_guest_calls_an_outer_address_of_its_own_vpc_and_is_judged_as_itself(fleet: Fleet) -> None:
    """The target is in the caller's subnet on another host, in another subnet there, and on the caller's own host."""
    cloud, outer = fleet.cloud, snat_of(fleet, RED)
    fleet.guest("red8", RED, "h1")
    targets = {8101: "red3", 8102: "red2", 8103: "red8"}
    try:
        for port, name in targets.items():
            cloud.dnat(RED, outer, port, "tcp", fleet.lab.state.guests[name].address, 8004)
            with serving(fleet, name, 8004):
                assert call(fleet, "red1", outer, port) == fleet.lab.state.guests["red1"].address, name
                cloud.group(RED, "closed", ingress=[], egress=[])
                cloud.set_groups(RED, "red1", ["closed"])
                assert not call(fleet, "red1", outer, port), "its own groups count"
                cloud.set_groups(RED, "red1", ["default"])
                cloud.do(cloud.client.delete_security_group(RED, "closed"))
            cloud.delete_dnat(RED, outer, port, "tcp")
    finally:
        fleet.remove("red8")


def test_taking_the_snat_away_ends_what_it_carried(fleet: Fleet) -> None:
    outer = snat_of(fleet, RED)
    with serving(fleet, outside.INTERNET, 8005):
        flow = Stream(fleet, "red1", outside.SOMEBODY, 8005)
        fleet.cloud.delete_snat(RED)
        try:
            assert not call(fleet, "red2", outside.SOMEBODY, 8005)
            with pytest.raises(AssertionError, match="broken"):
                flow.end()
        finally:
            fleet.cloud.snat(RED, outer)
        assert call(fleet, "red2", outside.SOMEBODY, 8005) == outer


def test_flows_go_on_when_the_active_gateway_loses_its_power(fleet: Fleet) -> None:
    cloud, outer = fleet.cloud, snat_of(fleet, RED)
    cloud.group(RED, "web", ingress=[allow("tcp", 8006, "0.0.0.0/0")])
    cloud.set_groups(RED, "red2", ["default", "web"])
    cloud.dnat(RED, outer, 8106, "tcp", fleet.lab.state.guests["red2"].address, 8006)
    try:
        with serving(fleet, outside.INTERNET, 8007), serving(fleet, "red2", 8006):
            before = active(fleet)
            out = Stream(fleet, "red1", outside.SOMEBODY, 8007)
            into = Stream(fleet, outside.INTERNET, outer, 8106)
            fleet.lab.fail(before)
            fleet.until(lambda: fleet.lab.active_gateways() not in ([], [before]), "the other one is active")
            time.sleep(0.3)
            gaps = out.end(), into.end()

            fleet.lab.heal()
            fleet.lab.wait_ready([before])
            assert active(fleet) != before, "who comes again stands by"
            assert max(gaps) < patient(GAP_S), gaps
            assert call(fleet, "red3", outside.SOMEBODY, 8007) == outer
    finally:
        cloud.delete_dnat(RED, outer, 8106, "tcp")
        cloud.set_groups(RED, "red2", ["default"])
        cloud.do(cloud.client.delete_security_group(RED, "web"))


def test_a_pair_that_is_cut_apart_in_the_underlay_stays_as_it_is(fleet: Fleet) -> None:
    """They hear each other on the external network."""
    before = active(fleet)
    logs = {name: log.stat().st_size for name, log in _logs(fleet).items()}
    first, second = (fleet.lab.state.hosts[name].underlay for name in logs)
    for ends in (("saddr", first, "ip", "daddr", second), ("saddr", second, "ip", "daddr", first)):
        switch = Machine("switch", fleet.lab.state.switch)
        switch.run("nft", "add", "rule", "bridge", "lab", "cut", "ip", *ends, "drop")

    with serving(fleet, outside.INTERNET, 8008):
        flow = Stream(fleet, "red1", outside.SOMEBODY, 8008)
        time.sleep(1.0)
        assert flow.end() < patient(GAP_S)
    assert fleet.lab.active_gateways() == [before]
    assert {name: log.stat().st_size for name, log in _logs(fleet).items()} == logs, "nobody changed sides"


def test_no_packet_passes_twice_while_a_pair_hears_nothing_of_each_other_and_one_is_active_afterwards(
    fleet: Fleet,
) -> None:
    active(fleet)
    fleet.lab.cut("g1", "g2")
    fleet.until(lambda: len(fleet.lab.active_gateways()) == 2, "both are active")
    said = fleet.lab.in_guest("red1", "ping", "-n", "-i", "0.02", "-c", "50", "-W", "1", outside.SOMEBODY, check=False)
    fleet.lab.heal()

    assert "duplicates" not in said and "DUP" not in said
    assert active(fleet) == "g1", "the earlier seat stays"
    assert fleet.lab.ping("red1", outside.SOMEBODY)


def test_a_keeper_that_is_killed_is_followed_by_the_other_gateway_and_started_anew(fleet: Fleet) -> None:
    before = active(fleet)
    files = outside.gate_of(fleet.lab.folder / before)
    dead = files.pid()
    with serving(fleet, outside.INTERNET, 8009):
        flow = Stream(fleet, "red1", outside.SOMEBODY, 8009)
        os.kill(dead, signal.SIGKILL)
        fleet.until(lambda: fleet.lab.active_gateways() not in ([], [before]), "taken over")
        assert flow.end() < patient(GAP_S)
    fleet.until(lambda: files.pid() not in (0, dead), "its agent starts it anew")
    address = str(UNDERLAY[GATEWAYS])
    fleet.until(lambda: address not in _addresses(fleet, before), "the kernel has ended its lease of the address")


def _addresses(fleet: Fleet, gateway: str) -> str:
    said = fleet.lab.state.hosts[gateway].machine.run("ip", "-j", "address", "show", "dev", "eth0")
    return json.dumps(json.loads(said))


def _logs(fleet: Fleet) -> dict[str, Path]:
    gateways = [name for name, host in fleet.lab.state.hosts.items() if host.is_gateway]
    return {name: outside.gate_of(fleet.lab.folder / name).folder / "keeper.log" for name in gateways}
