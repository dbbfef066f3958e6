"""`weft explain --live` over OVN: a probe goes through Open vSwitch for real, and who disagrees is told."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from test_explain import LIVE, OUTER, Demo, make_tenant, tear_down

from weftwork.apps.demo import ACME, BLUTH
from weftwork.compiler.ovn import ground
from weftwork.drivers.ovn.private import PrivateOvn, missing_tools
from weftwork.testing.guests import Guest
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(missing_tools()), reason="OVN is not installed")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explain-ovn")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Demo]:
    with ExitStack() as stack:
        node = stack.enter_context(Node(folder, backend="ovn", external=(Internet.CIDR, Internet.GATEWAY)))
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


@pytest.fixture(scope="module")
def ovn(demo: Demo, folder: Path) -> PrivateOvn:
    return PrivateOvn(folder / "ovn", ground.SCOPE)


@pytest.mark.parametrize(("source", "destination", "service", "codes"), LIVE)
def test_what_is_explained_is_what_the_data_plane_does(
    demo: Demo, source: str, destination: str, service: str, codes: set[str]
) -> None:
    told = demo.explain(source, destination, service, "--live")

    assert {one["reason"]["code"] for one in told["blockers"]} == codes
    assert told["live"]["outcome"] == "agrees", told["live"]
    assert told["live"]["delivered"] == (not codes)
    last = told["live"]["trace"][-1]
    assert last.endswith("-> drop") == bool(codes), told["live"]["trace"]


def test_what_leaves_by_snat_and_what_is_forwarded_is_followed(demo: Demo) -> None:
    demo.cloud.snat(ACME, OUTER)
    demo.cloud.dnat(ACME, OUTER, 8080, "tcp", demo.guests["web2"].address, 80)
    try:
        for destination, service in ((Internet.SERVER, "tcp/80"), (OUTER, "tcp/8080")):
            told = demo.explain("web1", destination, service, "--live")
            assert told["reachable"] and told["live"]["outcome"] == "agrees", told["live"]
            assert any("ct_" in line for line in told["live"]["trace"]), "translated"
    finally:
        demo.cloud.delete_dnat(ACME, OUTER, 8080, "tcp")
        demo.cloud.delete_snat(ACME)


def test_a_probe_is_seen_by_no_guest_and_leaves_nothing_behind(demo: Demo, ovn: PrivateOvn) -> None:
    web1, web2 = demo.guests["web1"], demo.guests["web2"]
    with web2.sniff() as tap:
        for service in ("tcp/80", "icmp"):
            assert demo.explain("web1", "web2", service, "--live")["live"]["delivered"]
        seen = [frame for frame in tap.frames() if frame[12:14] == b"\x08\x00" and frame[23] in (1, 6)]

    assert not seen
    assert "pkt_mark" not in ovn.run("ovs-ofctl", "dump-flows", bridge_of(ovn))
    tracked = ovn.run("ovs-appctl", "-t", f"{ovn.folder}/ovs-vswitchd.ctl", "dpctl/dump-conntrack")
    assert not [line for line in tracked.splitlines() if f"src={web1.address},dst={web2.address}" in line]
    assert demo.cloud.drift() == []


def test_a_data_plane_that_stops_what_is_allowed_is_told(demo: Demo, ovn: PrivateOvn) -> None:
    with flow_by_hand(ovn, "table=0,priority=60000,icmp", "drop"):
        told = demo.explain("web1", "web2", "icmp", "--live")

    assert told["reachable"] and told["live"]["outcome"] == "disagrees", told["live"]
    assert not told["live"]["delivered"]
    assert told["live"]["trace"][-1] == "br-int table 0: icmp -> drop"


def test_a_data_plane_that_lets_pass_what_is_forbidden_is_told(demo: Demo, ovn: PrivateOvn) -> None:
    """Past all the logical flows, straight to the device of a guest."""
    device = demo.cloud.port_info(ACME, "web2").device
    with flow_by_hand(ovn, "table=8,priority=60000,tcp,tp_dst=5432", f"{keys_of(ovn, device)},resubmit(,65)"):
        told = demo.explain("web1", "web2", "tcp/5432", "--live")

    assert not told["reachable"] and told["live"]["outcome"] == "disagrees", told["live"]
    assert told["live"]["delivered"]


def bridge_of(ovn: PrivateOvn) -> str:
    return f"unix:{ovn.folder}/br-int.mgmt"


@contextmanager
def flow_by_hand(ovn: PrivateOvn, match: str, actions: str) -> Iterator[None]:
    """As somebody would put it there who knows better than OVN."""
    ovn.run("ovs-ofctl", "-O", "OpenFlow15", "add-flow", bridge_of(ovn), f"{match},actions={actions}")
    try:
        yield
    finally:
        ovn.run("ovs-ofctl", "-O", "OpenFlow15", "--strict", "del-flows", bridge_of(ovn), match)


def keys_of(ovn: PrivateOvn, device: str) -> str:
    """The logical port behind a device, as actions that choose it."""
    dump = ovn.run("ovs-ofctl", "-O", "OpenFlow15", "--names", "--no-stats", "dump-flows", bridge_of(ovn), "table=65")
    (line,) = (one for one in dump.splitlines() if f'output:"{device}"' in one or one.endswith(f"output:{device}"))
    keys = dict(word.split("=") for word in line.split(" actions=")[0].rsplit("priority=100,", 1)[1].split(","))
    return ",".join(f"set_field:{value}->{name}" for name, value in keys.items())
