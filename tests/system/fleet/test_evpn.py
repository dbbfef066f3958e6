"""BGP EVPN between the hosts: what static routing gives, what the death of daemons costs, and what others hear."""

import json
import os
from collections.abc import Iterator

import pytest
from fleet_kit import BLUE, RED, Fleet, pinging
from speaker import ADDRESS, Speaker

LOST_MAX = 50
"""Pings of 20 ms: a second."""


@pytest.fixture(scope="module")
def routed(standing: Fleet) -> Iterator[Fleet]:
    """The lab of the other tests, switched over with pings running, and back."""
    os.environ["WEFT_NETWORK_BGP_PEERS"] = ADDRESS
    with pinging(standing, "red1", "red3") as there, pinging(standing, "red3", "red1") as back:
        standing.lab.route("evpn")
        standing.cloud.reconnect()
        standing.until(lambda: all(is_routed(standing, one) for one in HOSTS), "BGP everywhere")
    assert (there[0], back[0]) == (0, 0), f"the switch to EVPN lost {there[0]} and {back[0]} pings"
    yield standing
    del os.environ["WEFT_NETWORK_BGP_PEERS"]
    with pinging(standing, "red1", "red3") as there, pinging(standing, "red3", "red1") as back:
        standing.lab.route("static")
        standing.cloud.reconnect()
        standing.until(lambda: not any(learned(standing, one) for one in HOSTS), "nothing of BGP")
    assert (there[0], back[0]) == (0, 0), f"the switch back lost {there[0]} and {back[0]} pings"


HOSTS = ("h1", "h2", "h3")


def is_routed(fleet: Fleet, host: str) -> bool:
    """All its sessions are well, and what it has of others' ports is by BGP."""
    found = fleet.host(host)
    well = {one.peer for one in found.sessions if one.state == "Established"} - {ADDRESS}
    return found.ready and len(well) == 2 and len(learned(fleet, host)) == 4


def learned(fleet: Fleet, host: str) -> set[tuple[str, str]]:
    """VTEP's namespace and MAC, of all that a daemon wrote into the forwarding tables."""
    machine = fleet.lab.state.hosts[host].machine
    found: set[tuple[str, str]] = set()
    for netns in machine.run("sh", "-c", "cd /run/netns && ls -d weft-*").split():
        rows = json.loads(machine.run("nsenter", f"--net=/run/netns/{netns}", "bridge", "-j", "fdb"))
        found |= {(netns + one["ifname"], one["mac"]) for one in rows if "extern_learn" in one.get("flags", ())}
    return {one for one in found if "vx" in one[0]}


def test_guests_reach_each_other_in_both_directions_and_no_other_tenant(routed: Fleet) -> None:
    for one, other in (("red1", "red3"), ("red1", "red2"), ("blue2", "blue3")):
        assert routed.lab.ping(one, other), f"{one} does not reach {other}"
        assert routed.lab.ping(other, one), f"{other} does not reach {one}"
    blue = routed.echoes("blue2")

    assert routed.lab.ping("red3", "red2")
    assert routed.echoes("blue2") == blue, "a tenant with the same address heard it"


@pytest.mark.parametrize(("host", "daemon"), [("h3", "bgpd"), ("h1", "bgpd"), ("h3", "zebra")])
def test_the_death_of_a_daemon_costs_less_than_a_second(routed: Fleet, host: str, daemon: str) -> None:
    """h1 reflects, too."""
    with pinging(routed, "red1", "red3") as there, pinging(routed, "red3", "red1") as back:
        before = routed.lab.routing_pid(host, daemon)
        routed.lab.kill_routing(host, daemon)
        routed.until(lambda: routed.lab.routing_pid(host, daemon) not in (0, before), f"{daemon} runs again")
        routed.until(lambda: all(is_routed(routed, one) for one in HOSTS), "BGP is back by itself")

    assert there[0] < LOST_MAX and back[0] < LOST_MAX, f"lost {there[0]} of {there[1]}, {back[0]} of {back[1]}"


def test_a_port_moves_and_is_followed_by_bgp(routed: Fleet) -> None:
    address = routed.guest("red9", RED, "h2")
    try:
        for host in ("h3", "h2"):
            routed.lab.guest("red9", RED, host, address)
            routed.plug("red9", RED, host)
            assert routed.lab.lease("red9"), f"no address on {host}"
            for other in ("red1", "red2", "red3"):
                routed.until(lambda other=other: routed.lab.ping(other, "red9"), f"{other} reaches it on {host}")
            for left in {"h2", "h3"} - {host}:
                routed.lab.state.hosts[left].machine.run("ip", "netns", "del", "red9", check=False)
            mac = routed.cloud.port_info(RED, "red9").mac_address
            elsewhere = [one for one in HOSTS if one != host]
            routed.until(
                lambda there=elsewhere, mac=mac: all(
                    any(mac == found for _, found in learned(routed, one)) for one in there
                ),
                f"BGP has it on {host}",
            )
    finally:
        routed.remove("red9")


def test_another_vendors_speaker_hears_ports_and_networks_with_their_targets(routed: Fleet) -> None:
    with Speaker(routed) as speaker:
        routed.until(lambda: len(speaker.routes()) >= 18, "it hears them all")
        heard = speaker.routes()

    for project in (RED, BLUE):
        vpc = routed.cloud.vpc_info(project).vni
        of_vpc = [one for one in heard if f"65000:{vpc}" in one.targets]
        ports = routed.cloud.collect(routed.cloud.client.list_ports(project))
        announced = {(one.mac, one.address) for one in of_vpc if one.type == 2}
        assert {(port.mac_address, port.ip_address) for port in ports} <= announced
        assert {(port.mac_address, "") for port in ports} <= announced
        assert {one.originator for one in of_vpc if one.type == 3} == {f"192.168.77.{last}" for last in (11, 12, 13)}
        assert all(len(one.targets) == 2 for one in of_vpc)


def test_what_an_outsider_announces_leads_no_packet_to_him(routed: Fleet) -> None:
    nobodys, netns = "02:57:00:00:00:77", f"/run/netns/weft-{routed.cloud.vpc_info(RED).vni}"
    shown = routed.lab.state.hosts["h1"].machine.run(
        "nsenter", f"--net={netns}", "ip", "-j", "-d", "link", "show", "vx1"
    )
    vni = json.loads(shown)[0]["linkinfo"]["info_data"]["id"]
    with Speaker(routed) as speaker:
        routed.until(lambda: len(speaker.routes()) >= 18, "it is heard")
        speaker.announce(nobodys, "10.20.0.77", vni)
        routed.until(lambda: any(mac == nobodys for _, mac in learned(routed, "h1")), "it is believed")

        assert not routed.lab.ping("red1", "10.20.0.77")
        assert not routed.lab.ping("red2", "10.20.0.77")
        with pytest.raises(RuntimeError, match="Operation not permitted"):
            routed.lab.state.hosts["h1"].machine.run("bash", "-c", f"echo x > /dev/udp/{ADDRESS}/4789")
        assert speaker.datagrams() == 0, "VXLAN came to a machine that is no host"
        assert routed.lab.ping("red1", "red3")


def test_a_reflector_that_loses_its_power_takes_nothing_along(routed: Fleet) -> None:
    with pinging(routed, "red2", "red3") as there, pinging(routed, "red3", "red2") as back:
        routed.lab.fail("h1")
        routed.until(lambda: not routed.ready("h1"), "it is lost")
        assert routed.host("h3").ready
    routed.whole()
    routed.until(lambda: all(is_routed(routed, one) for one in HOSTS), "BGP is back")

    assert (there[0], back[0]) == (0, 0)
