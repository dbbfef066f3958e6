"""A server without a host of its own over an OVN that is there: others look after its chassis, as in N 2.2."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from weftwork.client.errors import ApiError
from weftwork.drivers.ovn.private import PrivateOvn, datapath
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest, run
from weftwork.testing.node import Node

HYPERVISOR = "wt-hypervisor"


@pytest.fixture
def central(tmp_path: Path) -> Iterator[PrivateOvn]:
    """The operator's: databases, northd, and a chassis."""
    run("ip", "netns", "add", HYPERVISOR)
    ovn = PrivateOvn(tmp_path / "ovn", HYPERVISOR, datapath=datapath())
    try:
        ovn.start()
        yield ovn
    finally:
        ovn.stop()
        run("ip", "netns", "delete", HYPERVISOR)


@pytest.fixture
def cloud(central: PrivateOvn, tmp_path: Path) -> Iterator[Cloud]:
    folder = tmp_path / "server"
    folder.mkdir()
    environment = {
        "WEFT_NETWORK_OVN_NORTHBOUND_ENDPOINT": str(central.northbound),
        "WEFT_NETWORK_OVN_SOUTHBOUND_ENDPOINT": str(central.southbound),
        "WEFT_NETWORK_OVN_SWITCH_ENDPOINT": f"unix:{folder}/no-switch-here.sock",
    }
    with Node(folder, backend="ovn", command="server", environment=environment) as node, node.cloud() as cloud:
        yield cloud
    assert "weft-" not in central.run("ovn-nbctl", f"--db={central.northbound}", "show"), "weft down left rows behind"


@contextlib.contextmanager
def virtual_machine(ovn: PrivateOvn, cloud: Cloud, project: str, name: str, group: str) -> Iterator[Guest]:
    """Made and bound as a compute service does it: the device is its own, and `iface-id` names the logical port."""
    port = cloud.port(project, name, vm=f"vm-{name}", groups=[group])
    shown = ovn.run("ovn-nbctl", f"--db={ovn.northbound}", "--bare", "--columns=name", "list", "Logical_Switch_Port")
    (logical,) = (line for line in shown.split() if line.endswith(port.id))
    with Guest.boot(f"wt-{name}") as guest:
        run("ip", "-n", HYPERVISOR, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", guest.name)
        run("ip", "-n", guest.name, "link", "set", "eth0", "address", port.mac_address)
        run("ip", "netns", "exec", guest.name, "ethtool", "-K", "eth0", "tx", "off")
        run("ip", "-n", HYPERVISOR, "link", "set", name, "up")
        bind = ("--", "set", "Interface", name, f"external_ids:iface-id={logical}")
        ovn.vsctl("--no-wait", "add-port", "br-int", name, *bind)
        until = ("--timeout=20", "wait-until", "Logical_Switch_Port", logical, "up=true")
        ovn.run("ovn-nbctl", f"--db={ovn.northbound}", *until)
        assert guest.dhcp()
        yield guest


def test_machines_that_others_bind_to_its_ports_get_their_address_and_obey_its_rules(
    central: PrivateOvn, cloud: Cloud
) -> None:
    project = "acme/shop"
    cloud.vpc(project)
    cloud.group(project, "web", ingress=[allow("tcp", 80, "0.0.0.0/0")], egress=[allow("all", None, "0.0.0.0/0")])
    with (
        virtual_machine(central, cloud, project, "vm-one", "web") as a,
        virtual_machine(central, cloud, project, "vm-two", "web") as b,
    ):
        b.serve(tcp=[80, 81])
        assert a.tcp(b.address, 80) and a.tcp(b.address, 81, timeout_s=0.4) is None
        assert cloud.drift() == []


def test_nothing_of_this_machine_can_be_plugged_in(cloud: Cloud) -> None:
    project = "acme/shop"
    cloud.vpc(project)
    cloud.port(project, "a")
    with pytest.raises(ApiError, match="NOTHING_TO_PLUG_INTO"):
        cloud.plug(project, "a", "wt-somewhere")


def test_the_specifications_server_writes_the_northbound_it_is_given(central: PrivateOvn, tmp_path: Path) -> None:
    environment = {
        "OVERLAY_NETWORK_OVN_NB_ENDPOINT": str(central.northbound),
        "OVERLAY_NETWORK_OVN_SB_ENDPOINT": str(central.southbound),
    }
    node = Node(tmp_path, command="overlay-network-server", environment=environment)
    node.start()
    try:
        with node.cloud() as cloud:
            cloud.vpc("acme/shop")
        assert "(weft-" in central.run("ovn-nbctl", f"--db={central.northbound}", "lr-list")
    finally:
        node.stop()
