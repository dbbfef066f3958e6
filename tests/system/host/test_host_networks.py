"""Stacks, NICs and routers asked for at a host itself: what guests see of them."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from host_kit import Host

from weftwork.testing.guests import Guest, run
from weftwork.testing.patience import patient
from weftwork.testing.vmm import Vmm

pytestmark = [pytest.mark.system, pytest.mark.linux]

ROUTER = {"ip": ["10.4.0.1/24:5", "10.4.1.1/24:6"], "dhcp": True, "dhcpdns": ["192.0.2.53"]}


def is_there_again(host: Host, nic: str) -> None:
    """An audit has passed."""
    deadline = time.monotonic() + patient(10)
    while host.ask(lambda client: client.get_nic(7, nic)).index == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def plugged(host: Host, name: str, vlan: int, *ip: str, vpc_id: int = 7, dhcp: bool = True) -> Guest:
    """A guest with a NIC, which has asked for its address."""
    guest = host.guest(name)
    host.ask(lambda client: client.add_nic(vpc_id, name, vlan, ip=ip, netns=name))
    if dhcp:
        lease = guest.dhcp()
        assert lease is not None and lease.address == ip[0]
    return guest


def test_nics_of_a_stack_meet_in_their_vlan_and_by_the_router_in_both_directions(host: Host) -> None:
    host.ask(lambda client: client.add_stack(7))
    host.ask(lambda client: client.add_router(7, **ROUTER))
    one, two = plugged(host, "one", 5, "10.4.0.10"), plugged(host, "two", 5, "10.4.0.20")
    six = plugged(host, "six", 6, "10.4.1.30")

    for here, there in ((one, two), (two, one), (one, six), (six, one)):
        assert here.ping(there.address)

    host.ask(lambda client: client.delete_router(7))
    assert one.ping("10.4.0.20") and two.ping("10.4.0.10")
    assert not one.ping("10.4.1.30", timeout_s=0.5) and not six.ping("10.4.0.10", timeout_s=0.5)


def test_several_addresses_of_a_nic_all_work_and_one_that_is_taken_away_does_not(host: Host) -> None:
    host.ask(lambda client: client.add_stack(7))
    host.ask(lambda client: client.add_router(7, **ROUTER))
    one, two = plugged(host, "one", 5, "10.4.0.10", "10.4.0.11"), plugged(host, "two", 5, "10.4.0.20")
    run("ip", "-n", "one", "address", "add", "10.4.0.11/24", "dev", "eth0")
    assert two.ping("10.4.0.10") and two.ping("10.4.0.11")

    host.ask(lambda client: client.update_nic(7, "one", ip=["10.4.0.10"]))

    assert two.ping("10.4.0.10") and one.ping("10.4.0.20")
    assert not two.ping("10.4.0.11", timeout_s=0.5)


def test_stacks_with_the_same_addresses_never_meet_and_nobody_speaks_for_another(host: Host) -> None:
    for vpc_id in (7, 8):
        host.ask(lambda client, vpc_id=vpc_id: client.add_stack(vpc_id))  # type: ignore[misc]
        host.ask(lambda client, vpc_id=vpc_id: client.add_router(vpc_id, **ROUTER))  # type: ignore[misc]
    one, two = plugged(host, "one", 5, "10.4.0.10"), plugged(host, "two", 5, "10.4.0.20")
    plugged(host, "far", 5, "10.4.0.40", vpc_id=8)

    assert one.ping("10.4.0.20")
    assert not one.ping("10.4.0.40", timeout_s=0.5)

    run("ip", "-n", "one", "address", "replace", "10.4.0.99/24", "dev", "eth0")
    run("ip", "-n", "one", "address", "del", "10.4.0.10/24", "dev", "eth0")
    assert not one.ping(two.address, timeout_s=0.5), "from an address that is not its own"


@pytest.fixture
def outside() -> Iterator[str]:
    """A bridge of the operator's, with somebody behind it; nobody there knows a way back to the stack."""
    run("ip", "link", "add", "op0", "type", "bridge", "forward_delay", "0")
    run("ip", "link", "set", "op0", "up")
    run("ip", "netns", "add", "world")
    run("ip", "link", "add", "op0-w", "type", "veth", "peer", "name", "eth0", "netns", "world")
    run("ip", "link", "set", "op0-w", "master", "op0", "up")
    for address in ("192.0.2.1/24", "203.0.113.9/32"):
        run("ip", "-n", "world", "address", "add", address, "dev", "eth0")
    run("ip", "-n", "world", "link", "set", "eth0", "up")
    run("ip", "-n", "world", "link", "set", "lo", "up")
    yield "op0"
    run("ip", "netns", "del", "world")
    run("ip", "link", "del", "op0")


def test_nat_and_routes_lead_outside_and_nobody_comes_in(host: Host, outside: str) -> None:
    nat = {"bridge": outside, "address": "192.0.2.10/24", "gateway": "192.0.2.77"}
    host.ask(lambda client: client.add_stack(7))
    host.ask(lambda client: client.add_router(7, **ROUTER, nat=nat))
    one = plugged(host, "one", 5, "10.4.0.10")

    assert one.ping("192.0.2.1"), "translated, so that it is answered"
    assert not one.ping("203.0.113.9", timeout_s=0.5), "its default next hop is nobody"
    host.ask(lambda client: client.add_route(7, "203.0.113.0/24", "192.0.2.1"))
    assert one.ping("203.0.113.9")
    host.ask(lambda client: client.delete_route(7, "203.0.113.0/24"))
    assert not one.ping("203.0.113.9", timeout_s=0.5)

    run("ip", "-n", "world", "route", "add", "10.4.0.0/24", "via", "192.0.2.10")
    knock = ("ip", "netns", "exec", "world", "ping", "-c", "1", "-W", "1", "10.4.0.10")
    assert subprocess.run(knock, capture_output=True, check=False).returncode != 0

    host.ask(lambda client: client.update_router(7, **ROUTER))
    assert not one.ping("192.0.2.1", timeout_s=0.5)


def test_a_tap_is_there_for_a_vmm(host: Host) -> None:
    host.ask(lambda client: client.add_stack(7))
    two = plugged(host, "two", 5, "10.4.0.20", dhcp=False)
    two.configure("10.4.0.20/24", "10.4.0.1")
    nic = host.ask(lambda client: client.add_nic(7, "vm", 5, ip=["10.4.0.30"]))

    with Vmm(nic.netns, nic.name, nic.hwaddr, "10.4.0.30") as vm:
        assert two.ping("10.4.0.30")
        assert vm.resolve("10.4.0.20") == two.mac
        assert vm.ping("10.4.0.20", two.mac)


def test_an_adopted_link_carries_its_guest_and_is_the_hosts_again_afterwards(host: Host) -> None:
    run("ip", "netns", "add", "vm3")
    try:
        run("ip", "link", "add", "n-vm3", "type", "veth", "peer", "name", "eth0", "netns", "vm3")
        run("ip", "-n", "vm3", "link", "set", "eth0", "address", "02:56:00:00:00:03", "up")
        run("ip", "-n", "vm3", "address", "add", "10.4.0.3/24", "dev", "eth0")
        mac = json.loads(run("ip", "-j", "link", "show", "n-vm3"))[0]["address"]
        host.ask(lambda client: client.add_stack(7))
        two = plugged(host, "two", 5, "10.4.0.20", dhcp=False)
        two.configure("10.4.0.20/24", "10.4.0.1")
        adopt = {"manually_added": True, "manual_hwaddr": "02:56:00:00:00:03", "ip": ["10.4.0.3"]}
        host.ask(lambda client: client.add_nic(7, "vm3", 5, **adopt))
        assert two.ping("10.4.0.3")
        assert (
            "does not exist"
            in subprocess.run(("ip", "link", "show", "n-vm3"), capture_output=True, text=True, check=False).stderr
        )

        host.kill()
        host.start()
        assert two.ping("10.4.0.3")
        host.ask(lambda client: client.delete_stack(7, cascade=True))

        (there,) = json.loads(run("ip", "-j", "link", "show", "n-vm3"))
        assert there["address"] == mac and "ifalias" not in there and "master" not in there
    finally:
        run("ip", "netns", "del", "vm3")


def test_the_death_of_the_agent_loses_nothing_and_what_somebody_breaks_is_repaired(host: Host) -> None:
    host.ask(lambda client: client.add_stack(7))
    host.ask(lambda client: client.add_router(7, **ROUTER))
    one, two = plugged(host, "one", 5, "10.4.0.10"), plugged(host, "two", 5, "10.4.0.20")
    before = host.ask(lambda client: client.list_nics(7))

    host.kill()
    assert one.ping(two.address)
    run("ip", "-n", "weft-l2-7", "link", "del", before[0].name)
    host.start()

    is_there_again(host, before[0].id)
    after = host.ask(lambda client: client.list_nics(7))
    assert [(nic.id, nic.hwaddr, list(nic.ip)) for nic in after] == [
        (nic.id, nic.hwaddr, list(nic.ip)) for nic in before
    ]
    assert one.dhcp() is not None
    assert one.ping(two.address) and two.ping(one.address)


def test_what_carries_no_mark_of_ours_is_never_touched(host: Host) -> None:
    run("ip", "link", "add", "op1", "type", "bridge")
    run("ip", "netns", "add", "strange")
    try:
        host.ask(lambda client: client.add_stack(7))
        host.ask(lambda client: client.add_nic(7, "one", 5))
        two = host.ask(lambda client: client.add_nic(7, "two", 5))
        run("ip", "-n", "weft-l2-7", "link", "add", "theirs", "type", "bridge")
        host.ask(lambda client: client.delete_nic(7, "one"))
        run("ip", "-n", "weft-l2-7", "link", "del", two.name)
        is_there_again(host, two.id)

        assert "theirs" in run("ip", "-n", "weft-l2-7", "link", "show", "theirs")
        assert "op1" in run("ip", "link", "show", "op1")
        assert "strange" in run("ip", "netns", "list")
    finally:
        run("ip", "link", "del", "op1")
        run("ip", "netns", "del", "strange")
