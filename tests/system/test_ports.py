"""Ports: a TAP for a VMM, or a veth in a namespace that comes and goes; their names, MACs, MTU and drop counters."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from weftwork.client.errors import ApiError
from weftwork.client.messages import Port
from weftwork.testing.cloud import Cloud
from weftwork.testing.drops import dropped
from weftwork.testing.guests import Guest, arp, ethernet, icmp_echo, ipv4, run, udp
from weftwork.testing.patience import patient
from weftwork.testing.vmm import Vmm

BROADCAST = "ff:ff:ff:ff:ff:ff"
STRANGE_MAC = "02:57:00:00:0f:0f"


def link(netns: str, device: str) -> dict:
    return json.loads(run("ip", "-n", netns, "-d", "-j", "link", "show", "dev", device))[0]


def vm(port: Port) -> AbstractContextManager[Vmm]:
    return Vmm(port.device_netns, port.device, port.mac_address, port.ip_address)


# A TAP for a VMM


@pytest.mark.stock
def test_a_vm_speaks_through_its_tap(tenant: Callable) -> None:
    mine = tenant()
    peer = mine.boot("peer")
    port = mine.cloud.port(mine.project, "vm", vm="vm-1")
    device = link(port.device_netns, port.device)["linkinfo"]
    assert device["info_kind"] == "tun"
    assert device["info_data"]["type"] == "tap" and device["info_data"]["persist"]
    with vm(port) as machine:
        assert machine.resolve(peer.address) == peer.mac
        assert machine.ping(peer.address, peer.mac)
        assert peer.ping(port.ip_address, tries=3)
    assert not peer.ping(port.ip_address, timeout_s=0.4), "nobody has the TAP open"
    with vm(port) as machine:
        assert peer.ping(port.ip_address, tries=3), "the TAP outlives a VMM"


def test_a_vm_obeys_guard_and_groups_as_a_namespace_does(tenant: Callable) -> None:
    mine = tenant()
    peer = mine.boot("peer")
    port = mine.cloud.port(mine.project, "vm", vm="vm-1")
    with vm(port) as machine:
        lie = ipv4("10.20.0.77", peer.address, 1, icmp_echo())
        honest = ipv4(port.ip_address, peer.address, 1, icmp_echo(data=b"honest" * 4))
        with peer.sniff() as tap:
            machine.send(ethernet(machine.mac, peer.mac, 0x0800, lie))
            machine.send(ethernet(machine.mac, peer.mac, 0x0800, honest))
            assert not any(lie[20:] in frame for frame in tap.until(honest[20:]))
        mine.cloud.set_groups(mine.project, "vm", [])
        assert not machine.ping(peer.address, peer.mac, timeout_s=0.4)
        assert not peer.ping(port.ip_address, timeout_s=0.4)
        assert machine.resolve("10.20.0.1"), "the gateway still answers"


def test_a_tap_goes_with_its_attachment_even_while_it_is_open(tenant: Callable) -> None:
    mine = tenant()
    mine.boot("peer")
    port = mine.cloud.port(mine.project, "vm", vm="vm-1")
    with vm(port):
        mine.cloud.do(mine.cloud.client.detach_port(mine.project, "vm"))
        mine.cloud.settle()
        assert port.device not in devices(port.device_netns)
    with pytest.raises(OSError), vm(port):
        pass
    mine.cloud.do(mine.cloud.client.attach_port(mine.project, "vm", "vm-2"))
    mine.cloud.settle()
    again = mine.cloud.port_info(mine.project, "vm")
    assert (again.device, again.mac_address, again.ip_address) == (port.device, port.mac_address, port.ip_address)
    with vm(again) as machine:
        assert machine.resolve("10.20.0.1")


def devices(netns: str) -> list[str]:
    return [one["ifname"] for one in json.loads(run("ip", "-n", netns, "-j", "link", "show"))]


# Names, MTU, MACs


def test_names_fit_and_both_ends_have_the_mtu_that_dhcp_tells(tenant: Callable) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    ports = [mine.cloud.port_info(mine.project, "guest"), mine.cloud.port(mine.project, "vm", vm="vm-1")]
    for port in ports:
        assert len(port.device.encode()) <= 15
        assert link(port.device_netns, port.device)["mtu"] == port.mtu_bytes
    lease = guest.dhcp()
    assert lease is not None
    assert (int(lease.mtu), guest.mtu_bytes) == (ports[0].mtu_bytes, ports[0].mtu_bytes)
    assert all(len(name.encode()) <= 15 for name in devices(ports[0].device_netns))


def test_macs_are_locally_administered_and_never_come_back(tenant: Callable) -> None:
    mine = tenant()
    seen: list[str] = []
    for life in range(3):
        made = [mine.cloud.port(mine.project, f"p{life}-{number}", wait=False) for number in range(4)]
        seen += [port.mac_address for port in made]
        for port in made:
            mine.cloud.delete_port(mine.project, port.id, wait=False)
    assert len(set(seen)) == len(seen)
    assert {int(mac[:2], 16) & 3 for mac in seen} == {2}, "local (2), and no multicast (1)"


# A veth in a namespace


def test_a_port_moves_to_another_namespace(tenant: Callable) -> None:
    mine = tenant()
    peer, guest = mine.boot("peer"), mine.boot("mobile")
    address, mac = guest.address, guest.mac
    with Guest.boot("wt-elsewhere") as elsewhere:
        with pytest.raises(ApiError) as refused:
            mine.cloud.plug(mine.project, "mobile", elsewhere.name)
        assert refused.value.reason == "PORT_ALREADY_ATTACHED"
        mine.cloud.unplug(mine.project, "mobile")
        assert devices(guest.name) == ["lo"]
        assert not peer.ping(address, timeout_s=0.4)
        mine.cloud.plug(mine.project, "mobile", elsewhere.name)
        lease = elsewhere.dhcp()
        assert lease is not None and (lease.address, elsewhere.mac) == (address, mac)
        assert peer.ping(address, tries=3) and elsewhere.ping(peer.address)
        mine.cloud.unplug(mine.project, "mobile")


def test_a_namespace_that_is_not_there_is_told_and_waited_for(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.port(mine.project, "early")
    plugged = mine.cloud.plug(mine.project, "early", "wt-late", wait=False)
    assert "wt-late" in wait_for_reason(mine.cloud, plugged, "NETNS_MISSING")
    with Guest.boot("wt-late") as guest:
        wait_until_programmed(mine.cloud, plugged)
        lease = guest.dhcp()
        assert lease is not None and lease.address == plugged.ip_address


def test_a_guest_namespace_that_an_operator_deletes_comes_back_whole(tenant: Callable) -> None:
    mine = tenant()
    peer, guest = mine.boot("peer"), mine.boot("guest")
    port = mine.cloud.port_info(mine.project, "guest")
    run("ip", "netns", "del", guest.name)
    wait_for_reason(mine.cloud, port, "NETNS_MISSING")
    mine.boot("other")
    run("ip", "netns", "add", guest.name)
    wait_until_programmed(mine.cloud, port)
    assert guest.dhcp() is not None
    assert (guest.address, guest.mac) == (port.ip_address, port.mac_address)
    assert peer.ping(guest.address, tries=3)


def wait_for_reason(cloud: Cloud, port: Port, reason: str) -> str:
    """Until the port says why it is not programmed; the message."""
    deadline = time.monotonic() + patient(30)
    while True:
        found = cloud.port_info(f"{port.org_id}/{port.project_id}", port.id).conditions
        messages = [one.message for one in found if one.reason == reason]
        if messages:
            return messages[0]
        assert time.monotonic() < deadline, f"no {reason} among {found}"
        time.sleep(0.05)


def wait_until_programmed(cloud: Cloud, port: Port) -> None:
    """Until the port is, and says no more that it is not."""
    deadline = time.monotonic() + patient(30)
    while not programmed(cloud.port_info(f"{port.org_id}/{port.project_id}", port.id)):
        assert time.monotonic() < deadline, "it was not programmed"
        time.sleep(0.05)


def programmed(port: Port) -> bool:
    return any(one.type == "Programmed" and one.status == one.STATUS_TRUE for one in port.conditions)


# What is dropped is counted by port and reason


LIES: dict[str, Callable[[Guest, Guest], bytes]] = {
    "spoofed_mac": lambda a, b: ethernet(STRANGE_MAC, b.mac, 0x0800, ipv4(a.address, b.address, 1, icmp_echo())),
    "spoofed_ip": lambda a, b: ethernet(a.mac, b.mac, 0x0800, ipv4("10.20.0.77", b.address, 1, icmp_echo())),
    "spoofed_arp": lambda a, b: ethernet(a.mac, BROADCAST, 0x0806, arp(2, a.mac, "10.20.0.1", b.mac, b.address)),
    "rogue_dhcp": lambda a, b: ethernet(
        a.mac, BROADCAST, 0x0800, ipv4(a.address, "255.255.255.255", 17, udp(67, 68, bytes(300)))
    ),
    "rogue_ra": lambda a, b: ethernet(
        a.mac, "33:33:00:00:00:01", 0x86DD, b"\x60\0\0\0\0\x10\x3a\xff" + bytes(32) + b"\x86" + bytes(15)
    ),
    "vlan_tag": lambda a, b: ethernet(
        a.mac, b.mac, 0x8100, b"\0\x05\x08\0" + ipv4(a.address, b.address, 1, icmp_echo())
    ),
    "tunnel": lambda a, b: ethernet(a.mac, b.mac, 0x0800, ipv4(a.address, b.address, 47, bytes(20))),
    "ethertype": lambda a, b: ethernet(a.mac, b.mac, 0x88B5, bytes(46)),
}


@pytest.mark.linux
@pytest.mark.stock
def test_what_is_dropped_is_counted_for_its_port_and_reason(tenant: Callable) -> None:
    mine = tenant()
    liar, victim = mine.boot("liar"), mine.boot("victim")
    port, other = (mine.cloud.port_info(mine.project, name) for name in ("liar", "victim"))
    before = dropped(port.device_netns)
    for number, lie in enumerate(LIES.values(), 1):
        for _ in range(number):
            liar.send_frame(lie(liar, victim))
    assert victim.ping(liar.address, tries=3), "an honest frame arrives behind them"
    after = dropped(port.device_netns)
    counted = {reason: after.get((port.device, reason), 0) - before.get((port.device, reason), 0) for reason in LIES}
    assert counted == {reason: number for number, reason in enumerate(LIES, 1)}
    assert all(after.get((other.device, reason), 0) == before.get((other.device, reason), 0) for reason in LIES)
