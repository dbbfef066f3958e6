"""`weft explain` on the demo's situations: each explanation is right, and the data plane does what it says.

In a folder that comes before the tests that share a node: a machine has one agent, and this one is of its own.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from weftwork.apps.demo import ACME, BLUTH, EVERYTHING, FROM_WEB
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node

pytestmark = pytest.mark.system

OUTER = "203.0.113.10"


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo's two tenants, with acme's SNAT and its DNAT to web2."""

    node: Node
    cloud: Cloud
    guests: dict[str, Guest]

    def explain(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "weftwork.apps.weft", "--server", self.node.address, "-P", ACME, "explain"]
        done = subprocess.run([*command, *words, "-o", "json"], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        (told,) = json.loads(done.stdout)["items"]
        assert done.returncode == (0 if told["reachable"] else 1) or told["live"]["outcome"] == "disagrees"
        return dict(told)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("explain")
        node = stack.enter_context(Node(folder, external=(Internet.CIDR, Internet.GATEWAY)))
        cloud = stack.enter_context(node.cloud())
        stack.callback(tear_down, cloud)
        for project in (ACME, BLUTH):
            make_tenant(cloud, project)
        stack.enter_context(Internet("explain-internet"))
        guests = {name: stack.enter_context(Guest.boot(f"explain-{name}")) for name in ("web1", "web2", "db1")}
        for name, guest in guests.items():
            cloud.plug(ACME, name, guest.name)
            assert guest.dhcp() is not None
        yield Demo(node, cloud, guests)


def make_tenant(cloud: Cloud, project: str) -> None:
    cloud.vpc(project, "10.20.0.0/16")
    cloud.subnet(project, "data", "10.20.1.0/24")
    open_web = [allow("tcp", 80, "0.0.0.0/0"), allow("icmp", None, "web")]
    cloud.group(project, "web", ingress=open_web, egress=[EVERYTHING])
    cloud.group(project, "db", ingress=[FROM_WEB], egress=[EVERYTHING])
    for name, subnet, group in (("web1", "", "web"), ("web2", "", "web"), ("db1", "data", "db")):
        cloud.port(project, name, subnet=subnet, groups=[group])


def tear_down(cloud: Cloud) -> None:
    for project in (ACME, BLUTH):
        cloud.delete_vpc(project, cascade=True)


LIVE = (
    ("web1", "web2", "icmp", set[str]()),
    ("web1", "web2", "tcp/80", set[str]()),
    ("web1", "web2", "tcp/5432", {"NO_INGRESS_RULE"}),
    ("web1", "db1", "tcp/5432", set[str]()),
    ("web1", "db1", "icmp", {"NO_INGRESS_RULE"}),
    ("db1", "web1", "tcp/80", set[str]()),
    ("db1", "web1", "udp/53", {"NO_INGRESS_RULE"}),
    ("web1", Internet.SERVER, "tcp/80", {"NO_SNAT"}),
)


@pytest.mark.parametrize(("source", "destination", "service", "codes"), LIVE)
def test_what_is_explained_is_what_the_data_plane_does(
    demo: Demo, source: str, destination: str, service: str, codes: set[str]
) -> None:
    told = demo.explain(source, destination, service, "--live")

    assert {one["reason"]["code"] for one in told["blockers"]} == codes
    assert told["reachable"] == (not codes)
    assert told["live"]["outcome"] == "agrees", told["live"]
    assert told["live"]["trace"]


def test_the_internet_reaches_what_is_forwarded_and_guests_leave_by_snat(demo: Demo) -> None:
    closed = demo.explain("internet", "web2", "tcp/80")
    assert {one["reason"]["code"] for one in closed["blockers"]} == {"NO_DNAT"}

    demo.cloud.snat(ACME, OUTER)
    demo.cloud.dnat(ACME, OUTER, 8080, "tcp", demo.guests["web2"].address, 80)
    try:
        assert demo.explain("internet", "web2", "tcp/80")["summary"].endswith(f"through {OUTER}:8080/tcp")
        assert demo.explain("internet", OUTER, "tcp/8080")["reachable"]
        assert not demo.explain("internet", OUTER, "tcp/5432")["reachable"]
        for destination, service in ((Internet.SERVER, "tcp/80"), (OUTER, "tcp/8080")):
            told = demo.explain("web1", destination, service, "--live")
            assert told["reachable"] and told["live"]["outcome"] == "agrees", told["live"]
    finally:
        demo.cloud.delete_dnat(ACME, OUTER, 8080, "tcp")
        demo.cloud.delete_snat(ACME)


def test_a_probe_is_seen_by_no_guest_and_leaves_nothing_behind(demo: Demo) -> None:
    web2 = demo.guests["web2"]
    with web2.sniff() as tap:
        for service in ("tcp/80", "icmp"):
            assert demo.explain("web1", "web2", service, "--live")["live"]["delivered"]
        seen = [frame for frame in tap.frames() if frame[12:14] == b"\x08\x00" and frame[23] in (1, 6)]

    assert not seen
    assert demo.cloud.drift() == []


def test_what_a_killed_probe_left_goes_with_the_next_one_or_when_the_agent_looks(demo: Demo) -> None:
    inside = ["ip", "netns", "exec", demo.cloud.port_info(ACME, "web1").device_netns, "nft"]
    chain = "add chain bridge weftwork probe_catch { type filter hook postrouting priority 1000; policy accept; }"
    rule = "add rule bridge weftwork probe_catch ether type ip ip protocol icmp @th,32,32 0x1 drop"

    subprocess.run([*inside, f"{chain}; {rule}"], check=True)
    assert demo.explain("web1", "web2", "icmp", "--live")["live"]["outcome"] == "agrees"
    assert demo.cloud.drift() == []

    demo.node.kill()
    subprocess.run([*inside, f"{chain}; {rule}"], check=True)
    demo.node.start()
    demo.cloud.reconnect()
    demo.cloud.settle()
    assert demo.cloud.drift() == []
    listing = subprocess.run([*inside, "list table bridge weftwork"], capture_output=True, text=True, check=True)
    assert "probe_catch" not in listing.stdout


def test_a_data_plane_that_does_otherwise_is_told(demo: Demo) -> None:
    """An operator's own table, which we neither see nor touch, drops what the intent allows."""
    inside = ["ip", "netns", "exec", demo.cloud.port_info(ACME, "web1").device_netns, "nft"]
    chain = "add chain bridge operator drops { type filter hook forward priority 0; policy accept; }"
    rule = "add rule bridge operator drops ip protocol icmp drop"
    subprocess.run([*inside, f"add table bridge operator; {chain}; {rule}"], check=True)
    try:
        told = demo.explain("web1", "web2", "icmp", "--live")
        assert told["reachable"] and told["live"]["outcome"] == "disagrees"
        assert not told["live"]["delivered"]
        assert "of operator -> drop" in told["live"]["trace"][-1]
    finally:
        subprocess.run([*inside, "delete table bridge operator"], check=True)


def test_where_nothing_can_be_sent_that_is_told(demo: Demo) -> None:
    told = demo.explain("internet", "web1", "tcp/80", "--live")

    assert told["live"]["outcome"] == "not-tried"
