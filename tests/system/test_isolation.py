"""Tenants with the same addresses, side by side; the host and the guests kept apart."""

import socket
from collections.abc import Callable

import pytest

from weftwork.testing.guests import ethernet, icmp_echo, ipv4, run
from weftwork.testing.inside import inside


@pytest.mark.stock
def test_two_tenants_with_the_same_addresses_reach_their_own_only(tenant: Callable) -> None:
    red, blue = tenant(), tenant()
    red1, red2 = red.boot("one"), red.boot("two")
    blue1, blue2 = blue.boot("one"), blue.boot("two")
    assert (red1.address, red2.address) == (blue1.address, blue2.address)
    for guest in (red2, blue2):
        guest.serve(tcp=[80], udp=[53])
    assert f"from {red2.name}" in (red1.tcp(red2.address, 80) or "")
    assert f"from {blue2.name}" in (blue1.tcp(blue2.address, 80) or "")
    packet = ipv4(red1.address, red2.address, 1, icmp_echo(data=b"from red" * 4))
    with red2.sniff() as own, blue1.sniff() as one, blue2.sniff() as two:
        red1.send_frame(ethernet(red1.mac, red2.mac, 0x0800, packet))
        own.until(b"from red")
        assert not any(b"from red" in frame for frame in (*one.frames(), *two.frames()))


def test_tenants_with_different_addresses_do_not_reach_each_other(tenant: Callable) -> None:
    red, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    a, b = red.boot("a"), blue.boot("b")
    b.serve(tcp=[80])
    a.serve(tcp=[80])
    assert not a.ping(b.address, timeout_s=0.4) and not b.ping(a.address, timeout_s=0.4)
    assert a.tcp(b.address, 80, timeout_s=0.4) is None and b.tcp(a.address, 80, timeout_s=0.4) is None


def test_guests_reach_nothing_of_the_host_but_what_is_offered(tenant: Callable) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    gateway = "10.20.0.1"
    assert guest.ping(gateway, tries=3), "the gateway answers a ping"
    netns = mine.cloud.port_info(mine.project, "guest").device_netns
    listener = inside(netns, lambda: socket.create_server(("0.0.0.0", 9999)))
    try:
        assert guest.tcp(gateway, 9999, timeout_s=0.4) is None
    finally:
        listener.close()
    for address in _addresses_of_this_host():
        assert not guest.ping(address, timeout_s=0.3), f"the host answered at {address}"


def test_the_host_does_not_reach_guests(tenant: Callable) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    guest.serve(tcp=[80])
    assert run("ip", "route", "get", guest.address, check=False).find("weft") == -1
    with pytest.raises(OSError):
        socket.create_connection((guest.address, 80), timeout=0.5)


def _addresses_of_this_host() -> list[str]:
    import json

    found = json.loads(run("ip", "-j", "-4", "addr", "show"))
    return [info["local"] for link in found for info in link["addr_info"] if not info["local"].startswith("127.")]
