"""Changes lose no packet of others; what somebody breaks is repaired; what is not ours stays."""

import json
import time
from collections.abc import Callable

import pytest

from weftwork.testing.cloud import allow
from weftwork.testing.guests import Guest, run
from weftwork.testing.node import Node
from weftwork.testing.patience import patient
from weftwork.testing.pinger import Pinger


def test_a_thousand_unrelated_changes_lose_no_packet(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.subnet(mine.project, "far", "10.20.9.0/24")
    a, b, c = mine.boot("a"), mine.boot("b"), mine.boot("c", subnet="far")
    b.serve(tcp=[80])
    flow = a.connect(b.address, 80)
    mine.cloud.group(mine.project, "busy")
    with Pinger(a, b.address) as same, Pinger(a, c.address) as routed:
        for number in range(250):
            rule = allow("tcp", 1000 + number, "10.0.0.0/8")
            mine.cloud.add_rules(mine.project, "busy", ingress=[rule], wait=False)
            mine.cloud.port(mine.project, f"n{number}", groups=["busy"], wait=False)
            mine.cloud.remove_rules(mine.project, "busy", ingress=[rule], wait=False)
            mine.cloud.delete_port(mine.project, f"n{number}", wait=False)
            if number % 50 == 0:
                assert flow.echo()
        mine.cloud.settle()
    assert flow.echo()
    flow.close()
    assert same.sent > 100 and routed.sent > 100
    assert (same.lost, routed.lost) == (0, 0)


def test_a_restart_loses_no_packet_and_changes_nothing(tenant: Callable, node: Node) -> None:
    mine = tenant()
    a, b = mine.boot("a"), mine.boot("b")
    netns = mine.cloud.port_info(mine.project, "a").device_netns
    before = links_of(netns)
    with Pinger(a, b.address) as pinger:
        node.kill()
        node.start()
        mine.cloud.reconnect()
        mine.cloud.settle()
    assert pinger.sent > 20 and pinger.lost == 0
    assert links_of(netns) == before
    assert a.dhcp() is not None


def links_of(netns: str) -> set[tuple[int, str, str]]:
    """Which links there are; one that was made anew has another number."""
    found = json.loads(run("ip", "-n", netns, "-j", "link", "show"))
    return {(link["ifindex"], link["ifname"], ",".join(link["flags"])) for link in found}


BREAKAGES: dict[str, Callable[[str, str], object]] = {
    "the namespace": lambda netns, _: run("ip", "netns", "del", netns),
    "the bridge": lambda netns, _: run("ip", "-n", netns, "link", "del", _bridge(netns)),
    "the port's device": lambda netns, device: run("ip", "-n", netns, "link", "del", device),
    "the ruleset": lambda netns, _: run("ip", "netns", "exec", netns, "nft", "flush", "ruleset"),
    "a chain's rules": lambda netns, _: run(
        "ip", "netns", "exec", netns, "nft", "flush", "chain", "inet", "weftwork", "leave"
    ),
    "the gateway's address": lambda netns, _: run("ip", "-n", netns, "addr", "flush", "dev", _bridge(netns)),
    "forwarding": lambda netns, _: run("ip", "netns", "exec", netns, "sysctl", "-qw", "net.ipv4.ip_forward=0"),
}


def _bridge(netns: str) -> str:
    found = json.loads(run("ip", "-n", netns, "-j", "-d", "link", "show", "type", "bridge"))
    return str(found[0]["ifname"])


@pytest.mark.parametrize(
    "what", [one if one == "the port's device" else pytest.param(one, marks=pytest.mark.linux) for one in BREAKAGES]
)
def test_what_somebody_breaks_is_repaired(tenant: Callable, what: str) -> None:
    mine = tenant()
    mine.cloud.subnet(mine.project, "far", "10.20.9.0/24")
    a, c = mine.boot("a"), mine.boot("c", subnet="far")
    port = mine.cloud.port_info(mine.project, "a")
    BREAKAGES[what](port.device_netns, port.device)
    deadline = time.monotonic() + patient(40)
    works = False
    while not works and time.monotonic() < deadline:
        if not a.address and "eth0" in run("ip", "-n", a.name, "link", "show"):
            a.dhcp(tries=2)
        if not c.address and "eth0" in run("ip", "-n", c.name, "link", "show"):
            c.dhcp(tries=2)
        works = bool(a.address and c.address) and a.ping(c.address, timeout_s=0.3)
    assert works, f"{what} was not repaired"


def test_rules_that_somebody_flushes_are_back_at_once(tenant: Callable) -> None:
    """Three times, each long before the next audit is due: they are 10 s apart."""
    mine = tenant()
    mine.boot("a")
    netns = mine.cloud.port_info(mine.project, "a").device_netns

    def chains() -> list[str]:
        listed = run("ip", "netns", "exec", netns, "nft", "list", "chains")
        return sorted(line for line in listed.splitlines() if "chain" in line)

    before = chains()
    for _ in range(3):
        run("ip", "netns", "exec", netns, "nft", "flush", "ruleset")
        deadline = time.monotonic() + patient(2)
        while chains() != before and time.monotonic() < deadline:
            pass
        assert chains() == before


def test_what_is_not_ours_stays_even_in_our_namespace(tenant: Callable) -> None:
    mine = tenant()
    mine.boot("a")
    netns = mine.cloud.port_info(mine.project, "a").device_netns
    run("ip", "-n", netns, "link", "add", "operators", "type", "bridge")
    run("ip", "netns", "exec", netns, "nft", "add", "table", "inet", "operators")
    with Guest.boot("weft-operators"):
        mine.boot("b")
        assert "operators" in run("ip", "-n", netns, "link", "show")
        assert "operators" in run("ip", "netns", "exec", netns, "nft", "list", "tables")
        assert "weft-operators" in run("ip", "netns", "list")
        assert mine.cloud.leaks() == []
