"""A fleet of three hosts: what guests on different hosts may and may not, and what a fleet survives."""

import json
import shutil
import sys
import time

import pytest
from fleet_kit import BLUE, RED, Fleet, echo_request, pinging

from weftwork.apps.lab.machine import end
from weftwork.testing.patience import patient

pytestmark = pytest.mark.linux


def test_guests_of_a_subnet_reach_each_other_across_hosts(fleet: Fleet) -> None:
    """red1 and red3 are in `default`, on h1 and h3."""
    assert fleet.lab.ping("red1", "red3")
    assert fleet.lab.ping("red3", "red1")


def test_guests_of_two_subnets_reach_each_other_across_hosts(fleet: Fleet) -> None:
    """red2 is in `back`, on h2. Each host's own router routes, in either direction."""
    assert fleet.lab.ping("red1", "red2")
    assert fleet.lab.ping("red2", "red1")
    assert fleet.lab.ping("red2", "red3")


def test_a_tenant_with_the_same_addresses_is_never_reached(fleet: Fleet) -> None:
    alone = fleet.guest("blue9", BLUE, "h2")
    try:
        assert fleet.lab.ping("blue1", "blue9")
        assert fleet.lab.ping("blue9", "blue3")

        before = fleet.echoes("blue9")
        assert not any(fleet.lab.ping(red, alone) for red in ("red1", "red2", "red3"))
        assert fleet.echoes("blue9") == before
    finally:
        fleet.remove("blue9")


def test_each_guest_has_its_own_address_by_dhcp_from_its_own_host_and_the_mtu_that_fits(fleet: Fleet) -> None:
    for name, guest in fleet.lab.state.guests.items():
        lease = json.loads(fleet.lab.lease(name))
        assert (lease["address"], lease["mtu"]) == (guest.address, "1450")

    assert fleet.lab.ping("red1", "red3", size=1450 - 28)
    assert fleet.lab.ping("red1", "red2", size=1450 - 28)
    assert not fleet.lab.ping("red1", "red3", size=1450 - 27)


def test_the_groups_judge_across_hosts_and_a_member_on_another_host_counts(fleet: Fleet) -> None:
    fleet.cloud.group(RED, "closed", ingress=[], egress=[])
    try:
        assert fleet.lab.ping("red1", "red3")

        fleet.cloud.set_groups(RED, "red3", ["closed"])
        assert not fleet.lab.ping("red1", "red3")
        assert fleet.lab.ping("red3", "red1") is False

        fleet.cloud.set_groups(RED, "red3", ["default"])
        assert fleet.lab.ping("red1", "red3")
        assert fleet.lab.ping("red3", "red1")
    finally:
        fleet.cloud.set_groups(RED, "red3", ["default"])
        fleet.cloud.do(fleet.cloud.client.delete_security_group(RED, "closed"))


def test_encapsulated_frames_come_in_from_known_hosts_only(fleet: Fleet) -> None:
    """The same bytes: from the host of the sender they arrive, from another machine they do not."""
    receiver, sender = (fleet.cloud.port_info(RED, name) for name in ("red1", "red3"))
    frame, vni = echo_request(sender, receiver), _vni_of(fleet, "red1")
    before = fleet.echoes("red1")

    fleet.forge("h3", "h1", frame, vni)
    fleet.until(lambda: fleet.echoes("red1") == before + 1, "the frame of h3 arrives")
    fleet.forge("server", "h1", frame, vni)
    fleet.forge("h3", "h1", frame, vni)
    fleet.until(lambda: fleet.echoes("red1") >= before + 2, "the second frame of h3 arrives")

    assert fleet.echoes("red1") == before + 2
    counters = fleet.lab.state.hosts["h1"].machine.run("nft", "list", "counters", "table", "inet", "weftwork")
    assert "packets 1 " in counters


def test_what_comes_from_a_known_host_must_be_of_a_port_that_is_there(fleet: Fleet) -> None:
    receiver, sender = (fleet.cloud.port_info(RED, name) for name in ("red1", "red3"))
    vni = _vni_of(fleet, "red1")
    frame = echo_request(sender, receiver)
    before = fleet.echoes("red1")

    fleet.forge("h3", "h1", frame[:6] + b"\x02\x57\x00\xff\xff\xff" + frame[12:], vni)
    fleet.forge("h2", "h1", frame, vni + 9999)
    fleet.forge("h3", "h1", frame, vni)
    fleet.until(lambda: fleet.echoes("red1") > before, "the honest frame arrives")

    assert fleet.echoes("red1") == before + 1


def test_a_guest_sends_nothing_that_is_encapsulated(fleet: Fleet) -> None:
    send = "import socket,sys;socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b'x'*60,(sys.argv[1],4789))"
    host = fleet.lab.state.hosts["h1"]
    for target in (fleet.lab.state.guests["red3"].address, fleet.lab.state.hosts["h2"].underlay):
        fleet.lab.in_guest("red1", "python3", "-c", send, target)

    counters = host.machine.run("ip", "netns", "exec", _netns_of(fleet, RED), "nft", "list", "counters")
    tunnel = counters.split("counter tunnel")[1]
    assert "packets 2 " in tunnel[:80]


def test_the_death_of_an_agent_loses_no_packet_and_shows_within_five_seconds(fleet: Fleet) -> None:
    with pinging(fleet, "red1", "red2") as lost:
        fleet.lab.kill("h2")
        began = time.monotonic()
        fleet.until(lambda: not fleet.ready("h2"), "h2 is lost")
        took = time.monotonic() - began
        fleet.lab.heal()
        fleet.lab.wait_ready(["h2"])

    assert took < patient(5.0)
    assert lost[0] == 0, f"{lost[0]} of {lost[1]} pings were lost"


def test_a_host_that_reboots_while_the_server_is_dead_comes_back_with_its_network(fleet: Fleet) -> None:
    fleet.lab.kill("server")
    fleet.lab.fail("h2")
    assert not fleet.lab.ping("red1", "red2")

    fleet.lab.boot("h2")

    fleet.until(lambda: bool(fleet.lab.lease("red2")), "red2 has its address again")
    assert fleet.lab.ping("red1", "red2")
    assert fleet.lab.ping("red2", "red3")


def test_hosts_that_are_cut_off_from_the_server_go_on_and_come_back_by_themselves(fleet: Fleet) -> None:
    with pinging(fleet, "red1", "red2") as lost:
        fleet.lab.cut("server", "h1")
        fleet.until(lambda: not fleet.ready("h1"), "h1 is lost")
        fleet.lab.heal()
        fleet.lab.wait_ready(["h1"])

    assert lost[0] == 0, f"{lost[0]} of {lost[1]} pings were lost"


def test_a_port_moves_to_another_host_and_back(fleet: Fleet) -> None:
    address = fleet.guest("red9", RED, "h2")
    try:
        assert fleet.lab.ping("red1", "red9")
        for host in ("h3", "h1", "h2"):
            fleet.lab.guest("red9", RED, host, address)
            fleet.plug("red9", RED, host)
            assert fleet.lab.lease("red9"), f"no address on {host}"
            for other in ("red1", "red2", "red3"):
                assert fleet.lab.ping(other, "red9"), f"{other} does not reach it on {host}"
                assert fleet.lab.ping("red9", other), f"on {host} it does not reach {other}"
            for left in {"h1", "h2", "h3"} - {host}:
                fleet.lab.state.hosts[left].machine.run("ip", "netns", "del", "red9", check=False)
    finally:
        fleet.remove("red9")


def test_a_change_goes_to_the_hosts_that_hold_the_project_and_no_further(fleet: Fleet) -> None:
    fleet.cloud.vpc("lab/green", "10.20.0.0/16")
    try:
        fleet.guest("green1", "lab/green", "h1")
        fleet.guest("green2", "lab/green", "h2")
        before = fleet.host("h3").desired_generation

        fleet.cloud.set_groups("lab/green", "green1", [])

        assert fleet.host("h1").desired_generation == fleet.host("h2").desired_generation > before
        assert fleet.host("h3").desired_generation == before
    finally:
        for name in ("green1", "green2"):
            fleet.remove(name)
        fleet.cloud.do(fleet.cloud.client.delete_vpc("lab/green", cascade=True))


def test_a_second_agent_with_the_same_identity_is_refused(fleet: Fleet) -> None:
    folder = fleet.lab.folder
    shutil.copytree(folder / "h1" / "agent", folder / "twin", ignore=shutil.ignore_patterns("*.sock"))
    log = folder / "twin.log"
    twin = fleet.server_machine.start(
        sys.executable, "-m", "weftwork.apps.weft", "agent", "--state", str(folder / "twin"), log=log
    )
    try:
        fleet.until(lambda: log.exists() and "is connected, and answers" in log.read_text(), "the twin is refused")
    finally:
        end(twin)
        shutil.rmtree(folder / "twin")
    assert fleet.ready("h1")


def _netns_of(fleet: Fleet, project: str) -> str:
    return fleet.cloud.port_info(project, "red1").device_netns


def _vni_of(fleet: Fleet, name: str) -> int:
    """As it is on the wire."""
    said = fleet.lab.state.hosts["h1"].machine.run(
        *("ip", "netns", "exec", _netns_of(fleet, RED), "ip", "-d", "-j", "link", "show", "type", "vxlan")
    )
    bridge = json.loads(
        fleet.lab.state.hosts["h1"].machine.run(
            *("ip", "netns", "exec", _netns_of(fleet, RED), "ip", "-j", "link", "show"),
            fleet.cloud.port_info(RED, name).device,
        )
    )[0]["master"]
    return next(one["linkinfo"]["info_data"]["id"] for one in json.loads(said) if one.get("master") == bridge)
