"""The laws of a driver, for a real northbound and the chassis under it."""

import subprocess

import pytest
from ovn_programs import GUESTS, OVN_NETNS, network, plugs

from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.planner.plan import make_plan
from weftwork.program.ovn import PortGroupMember, StrayRow
from weftwork.program.resource import Program
from weftwork.seams.driver import Driver, carried_out

pytestmark = pytest.mark.system

NOTHING: Program = frozenset()


def nbctl(ovn: PrivateOvn, *words: str) -> str:
    return ovn.run("ovn-nbctl", f"--db={ovn.northbound}", *words)


async def converge(driver: Driver, desired: Program) -> None:
    failures = await carried_out(driver, make_plan(desired=desired, observed=await driver.observe()))
    assert not failures, {key: str(failure) for key, failure in failures.items()}
    assert await driver.observe() == desired


def give_addresses() -> None:
    for number, guest in enumerate(GUESTS, start=1):
        subprocess.run(["ip", "-n", guest, "addr", "add", f"10.0.1.{9 + number}/24", "dev", "eth0"], check=True)


def pings(source: str, address: str) -> bool:
    ping = ["ip", "netns", "exec", source, "ping", "-c1", "-W2", address]
    return subprocess.run(ping, check=False, capture_output=True).returncode == 0


async def test_what_was_applied_is_observed_and_carries_packets_until_it_is_taken_away(ovn: PrivateOvn) -> None:
    north, chassis = OvnDriver((ovn.northbound,)), ChassisDriver(ovn.switch, netns=OVN_NETNS)
    try:
        await converge(north, network())
        await converge(chassis, plugs(GUESTS))
        give_addresses()
        assert pings(GUESTS[0], "10.0.1.11") and pings(GUESTS[1], "10.0.1.10")

        alone = frozenset(
            one for one in network() if not (isinstance(one, PortGroupMember) and one.port == "weft-101.port2")
        )
        await converge(north, alone)
        await converge(north, network())
        assert pings(GUESTS[0], "10.0.1.11")

        await converge(chassis, NOTHING)
        await converge(north, NOTHING)
    finally:
        await north.close()
        await chassis.close()


async def test_rows_of_others_are_neither_seen_nor_touched(ovn: PrivateOvn) -> None:
    north = OvnDriver((ovn.northbound,))
    try:
        nbctl(ovn, "ls-add", "theirs", "--", "lsp-add", "theirs", "their-port", "--", "pg-add", "their_group")
        nbctl(ovn, "acl-add", "theirs", "to-lport", "1000", "ip4", "drop")
        await converge(north, network())
        await converge(north, NOTHING)
        assert "their-port" in nbctl(ovn, "show", "theirs")
        assert "drop" in nbctl(ovn, "acl-list", "theirs")
    finally:
        await north.close()


async def test_what_somebody_changes_behind_our_back_is_seen_and_repaired(ovn: PrivateOvn) -> None:
    north = OvnDriver((ovn.northbound,))
    try:
        await converge(north, network())
        nbctl(ovn, "lsp-set-port-security", "weft-101.port1")
        nbctl(ovn, "lr-route-del", "weft-101", "10.0.0.0/16")
        nbctl(ovn, "pg-del", "weft_101_all")
        nbctl(ovn, "ls-del", "weft-101.1")
        assert await north.observe() != network()
        await converge(north, network())
    finally:
        await north.close()


async def test_a_row_written_twice_is_a_stray_and_goes(ovn: PrivateOvn) -> None:
    north = OvnDriver((ovn.northbound,))
    try:
        await converge(north, network())
        double = ["--id=@a", "create", "ACL", "direction=to-lport", "priority=1", "action=drop"]
        marks = ["external_ids:weftwork=weft-101", 'external_ids:weftwork-belongs-to="group weft_101_all"']
        refer = ["--", "add", "Port_Group", "weft_101_all", "acls", "@a"]
        nbctl(ovn, *double, 'match="outport == @weft_101_all"', *marks, *refer)
        strays = [one for one in await north.observe() if isinstance(one, StrayRow)]
        assert len(strays) == 1
        await converge(north, network())
    finally:
        await north.close()


async def test_a_driver_that_starts_anew_finds_nothing_to_do(ovn: PrivateOvn) -> None:
    north = OvnDriver((ovn.northbound,))
    await converge(north, network())
    await north.close()
    again = OvnDriver((ovn.northbound,))
    try:
        assert make_plan(desired=network(), observed=await again.observe()) == ()
    finally:
        await again.close()


def test_daemons_that_died_are_named_and_started_again(ovn: PrivateOvn) -> None:
    pid = int((ovn.folder / "ovn-controller.pid").read_text())
    subprocess.run(["kill", "-9", str(pid)], check=True)
    while not ovn.dead():
        pass
    assert ovn.start() == ("ovn-controller",)
    assert ovn.dead() == ()
