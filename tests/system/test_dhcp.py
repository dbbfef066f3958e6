"""DHCP through the whole product, with real clients."""

from collections.abc import Callable

import pytest

from weftwork.testing.guests import Guest, run


@pytest.mark.stock
def test_a_client_gets_exactly_what_the_port_has(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.subnet(
        mine.project, "office", "10.20.7.0/24", dns=["9.9.9.9", "149.112.112.112"], domain="office.example",
        ntp=["10.20.7.123"], lease_time_s=3600,
    )  # fmt: skip
    port = mine.cloud.port(mine.project, "pc", subnet="office", address="10.20.7.42")
    guest = mine.boot_port("pc", dhcp=False)
    lease = guest.dhcp()
    assert lease is not None
    assert (lease.address, lease.prefix_length, lease.router) == ("10.20.7.42", 24, "10.20.7.1")
    assert (lease.dns, lease.domain, lease.ntp) == ("9.9.9.9 149.112.112.112", "office.example", "10.20.7.123")
    assert (lease.lease_s, lease.mtu, lease.server) == (3600, str(guest.mtu_bytes), "10.20.7.1")
    assert guest.mac == port.mac_address


def test_a_stranger_gets_nothing(tenant: Callable) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    run("ip", "-n", guest.name, "link", "set", "eth0", "down")
    run("ip", "-n", guest.name, "link", "set", "eth0", "address", "02:aa:aa:aa:aa:aa")
    run("ip", "-n", guest.name, "link", "set", "eth0", "up")
    assert guest.dhcp(tries=2) is None


def test_a_subnet_without_dhcp_answers_nobody(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.subnet(mine.project, "silent", "10.20.8.0/24", dhcp=False)
    mine.cloud.port(mine.project, "a", subnet="silent")
    guest = mine.boot_port("a", dhcp=False)
    assert guest.dhcp(tries=2) is None
    port = mine.cloud.port_info(mine.project, "a")
    guest.configure(f"{port.ip_address}/24", "10.20.8.1")
    assert guest.ping("10.20.8.1", tries=3), "with its address set by hand it works"


def test_the_lease_goes_with_the_port(tenant: Callable) -> None:
    mine = tenant()
    guest = mine.boot("short-lived")
    address = guest.address
    mine.cloud.delete_port(mine.project, "short-lived")
    with Guest.boot("wt-next") as follower:
        mine.cloud.port(mine.project, "next", address=address)
        mine.cloud.plug(mine.project, "next", follower.name)
        lease = follower.dhcp()
        assert lease is not None and lease.address == address
        assert follower.mac != guest.name
