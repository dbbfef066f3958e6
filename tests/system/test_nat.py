"""SNAT and DNAT: out behind one address, in by one port, also from inside; and nothing else."""

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from weftwork.testing.cloud import allow
from weftwork.testing.internet import Internet

OUTER = "203.0.113.20"


def test_without_nat_nothing_passes_in_either_direction(tenant: Callable, internet: Internet) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    guest.serve(tcp=[80])
    assert guest.tcp(Internet.SERVER, 80, timeout_s=0.4) is None
    assert internet.tcp(guest.address, 80, timeout_s=0.4) is None


@pytest.mark.stock
def test_snat_hides_the_vpc_behind_its_address(tenant: Callable, internet: Internet) -> None:
    mine = tenant()
    mine.cloud.subnet(mine.project, "far", "10.20.9.0/24")
    near, far = mine.boot("near"), mine.boot("far", subnet="far")
    mine.cloud.snat(mine.project, OUTER)
    server = internet.serve(tcp=[8088], udp=[5353])
    assert near.tcp(Internet.SERVER, 8088) and far.tcp(Internet.SERVER, 8088)
    assert near.udp(Internet.GATEWAY, 5353)
    assert near.ping(Internet.SERVER)
    assert set(server.peers) == {OUTER}
    assert internet.tcp(OUTER, 80, timeout_s=0.4) is None, "SNAT lets nobody in"
    assert not internet.guest.ping(near.address, timeout_s=0.4)
    server.close()


def test_an_address_of_the_vpc_that_nobody_has_is_not_outside(tenant: Callable, internet: Internet) -> None:
    """The default route would lead there."""
    mine = tenant()
    guest = mine.boot("guest")
    mine.cloud.snat(mine.project, OUTER)
    nobody = "10.20.77.7"
    with internet.guest.sniff() as tap:
        assert not guest.ping(nobody, timeout_s=0.3)
        assert guest.ping(Internet.SERVER)
        seen = tap.frames()
    assert any(IPv4Address(Internet.SERVER).packed in frame for frame in seen)
    assert not any(IPv4Address(nobody).packed in frame for frame in seen)


def test_removing_snat_ends_what_it_carried(tenant: Callable, internet: Internet) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    mine.cloud.snat(mine.project, OUTER)
    flow = guest.connect(Internet.SERVER, 80)
    assert flow.echo()
    mine.cloud.delete_snat(mine.project)
    assert not flow.echo(timeout_s=0.4)
    assert guest.tcp(Internet.SERVER, 80, timeout_s=0.4) is None
    flow.close()


@pytest.mark.stock
def test_dnat_reaches_the_guest_under_its_groups(tenant: Callable, internet: Internet) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "web", ingress=[allow("tcp", 8000, "0.0.0.0/0")])
    web = mine.boot("web", groups=("web",))
    shut = mine.boot("shut")
    server = web.serve(tcp=[8000])
    shut.serve(tcp=[8000])
    mine.cloud.dnat(mine.project, OUTER, 80, "tcp", web.address, 8000)
    mine.cloud.dnat(mine.project, OUTER, 81, "tcp", shut.address, 8000)
    assert f"from {web.name}" in (internet.tcp(OUTER, 80) or "")
    assert server.peers == (Internet.GATEWAY,), "the guest sees the real client"
    assert internet.tcp(OUTER, 81, timeout_s=0.4) is None, "its group lets nobody in"
    assert internet.tcp(OUTER, 8000, timeout_s=0.4) is None
    flow = internet.guest.connect(OUTER, 80)
    mine.cloud.delete_dnat(mine.project, OUTER, 80, "tcp")
    assert not flow.echo(timeout_s=0.4), "the forward is gone, and its flows"
    flow.close()


def test_an_outer_address_that_moves_is_announced(tenant: Callable, internet: Internet) -> None:
    """Neighbours outside hold the MAC of the router that had it before."""
    packed = IPv4Address(OUTER).packed
    announcement = packed + bytes(6) + packed
    for _ in range(4):
        mine = tenant()
        mine.boot("guest")
        with internet.guest.sniff() as tap:
            mine.cloud.snat(mine.project, OUTER)
            tap.until(announcement)
        mine.cloud.delete_snat(mine.project)


def outer_mac(vni: int) -> str:
    return "02:47:" + vni.to_bytes(4, "big").hex(":")


def test_dnat_of_udp(tenant: Callable, internet: Internet) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "dns", ingress=[allow("udp", 5300, "0.0.0.0/0")])
    guest = mine.boot("dns", groups=("dns",))
    guest.serve(udp=[5300])
    mine.cloud.dnat(mine.project, OUTER, 53, "udp", guest.address, 5300)
    internet.hear_of(OUTER, outer_mac(mine.cloud.vpc_info(mine.project).vni))
    assert internet.guest.udp(OUTER, 53)
    assert internet.tcp(OUTER, 53, timeout_s=0.4) is None


@pytest.mark.parametrize(
    "other_subnet",
    [pytest.param(False, id="same subnet", marks=pytest.mark.stock), pytest.param(True, id="across subnets")],
)
def test_hairpin(tenant: Callable, internet: Internet, other_subnet: bool) -> None:
    mine = tenant()
    mine.cloud.subnet(mine.project, "far", "10.20.9.0/24")
    web = mine.boot("web")
    client = mine.boot("client", subnet="far" if other_subnet else "default")
    web.serve(tcp=[80])
    mine.cloud.dnat(mine.project, OUTER, 80, "tcp", web.address, 80)
    assert f"from {web.name}" in (client.tcp(OUTER, 80) or "")
    mine.cloud.set_groups(mine.project, "client", [])
    assert client.tcp(OUTER, 80, timeout_s=0.4) is None, "the client's groups count by its inner address"


def test_one_tenant_calls_the_other_by_its_outer_address_only(tenant: Callable, internet: Internet) -> None:
    red, blue = tenant(), tenant()
    red.cloud.group(red.project, "web", ingress=[allow("tcp", 80, "0.0.0.0/0")])
    web, client = red.boot("web", groups=("web",)), blue.boot("client")
    server = web.serve(tcp=[80])
    red.cloud.dnat(red.project, OUTER, 80, "tcp", web.address, 80)
    assert client.tcp(OUTER, 80, timeout_s=0.4) is None, "blue has no SNAT"
    blue.cloud.snat(blue.project, "203.0.113.21")
    assert client.tcp(OUTER, 80)
    assert server.peers == ("203.0.113.21",)
