"""An OVN that somebody else runs: we add rows and plugs of ours, and take away nothing but them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node
from weftwork.testing.patience import patient
from weftwork.testing.residue import Residue

PROJECT = "acme/shop"
HOSTS_OWN = ""
"""The namespace in which the operator's Open vSwitch runs."""


@pytest.fixture
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvn]:
    ovn = PrivateOvn(tmp_path_factory.mktemp("theirs") / "run", HOSTS_OWN, chassis="their-chassis")
    try:
        ovn.start()
        yield ovn
    finally:
        ovn.stop()


def nbctl(ovn: PrivateOvn, *words: str) -> str:
    return ovn.run("ovn-nbctl", f"--db={ovn.northbound}", *words)


def node_over(ovn: PrivateOvn, folder: Path) -> Node:
    settings = {
        "WEFT_NETWORK_OVN_NORTHBOUND_ENDPOINT": str(ovn.northbound),
        "WEFT_NETWORK_OVN_SWITCH_ENDPOINT": str(ovn.switch),
    }
    return Node(folder, backend="ovn", environment=settings)


def test_guests_speak_over_an_ovn_that_was_there_and_it_is_left_as_it_was(theirs: PrivateOvn, tmp_path: Path) -> None:
    nbctl(
        theirs, "ls-add", "theirs", "--", "lsp-add", "theirs", "their-port", "--", "pg-add", "their_group", "their-port"
    )
    before, links = nbctl(theirs, "show"), Residue.look()
    with node_over(theirs, tmp_path) as node, node.cloud() as cloud, ExitStack() as guests:
        cloud.vpc(PROJECT, "10.20.0.0/16")
        a, b = (guests.enter_context(Guest.boot(f"wx-{name}")) for name in "ab")
        for guest in (a, b):
            cloud.port(PROJECT, guest.name)
            cloud.plug(PROJECT, guest.name, guest.name)
            assert guest.dhcp() is not None
        port = cloud.port_info(PROJECT, a.name)
        assert (port.device_netns, port.mtu_bytes) == (HOSTS_OWN, 1442)
        assert port.device in theirs.vsctl("list-ports", "br-int").split()
        assert a.ping(b.address, tries=3)
        assert "their-port" in nbctl(theirs, "show", "theirs")
        assert cloud.leaks() == []
        assert not theirs.dead()
    assert nbctl(theirs, "show") == before
    assert nbctl(theirs, "--bare", "--columns=name", "list", "Port_Group").split() == ["their_group"]
    assert theirs.vsctl("list-ports", "br-int") == ""
    assert links.left_over() == []


def test_a_northbound_that_is_out_of_reach_is_told_and_waited_for(theirs: PrivateOvn, tmp_path: Path) -> None:
    with node_over(theirs, tmp_path) as node, node.cloud() as cloud:
        cloud.vpc(PROJECT, "10.20.0.0/16")
        pid = int((theirs.folder / "ovnnb_db.pid").read_text())
        theirs.run("kill", "-9", str(pid))
        made = cloud.do(cloud.client.create_subnet(PROJECT, "late", cidr="10.20.9.0/24"))
        assert made.name == "late"
        deadline = time.monotonic() + patient(20)
        while "OVN_CONNECTION_FAILED" not in node.log.read_text():
            assert time.monotonic() < deadline, "nobody was told"
            time.sleep(0.02)
        theirs.start()
        cloud.settle()
        assert cloud.drift() == []
