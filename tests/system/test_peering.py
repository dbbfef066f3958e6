"""VPCs of two projects that route to each other: with both halves, and with nothing else."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest, ethernet, icmp_echo, ipv4, run
from weftwork.testing.internet import Internet

SILENCE_S = 0.3
ANYWHERE = "0.0.0.0/0"


def open_to_all(cloud: Cloud, *tenants: Any) -> None:
    for one in tenants:
        cloud.group(
            one.project,
            "open",
            ingress=[allow("all", None, ANYWHERE)],
            egress=[allow("all", None, ANYWHERE)],
        )


def router_mac(guest: Guest) -> str:
    gateway = run("ip", "-n", guest.name, "route", "show", "default").split()[2]
    assert guest.ping(gateway, tries=3)
    return run("ip", "-n", guest.name, "neigh", "show", gateway).split("lladdr ")[1].split()[0]


@pytest.mark.stock
def test_guests_of_peers_reach_each_other_with_both_halves_and_only_then(tenant: Callable, cloud: Cloud) -> None:
    red, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    open_to_all(cloud, red, blue)
    a, b = red.boot("a", groups=("open",)), blue.boot("b", groups=("open",))
    for guest in (a, b):
        guest.serve(tcp=[80], udp=[53])

    def reach_each_other(*, yes: bool) -> None:
        timeout_s = None if yes else SILENCE_S
        for start, end in ((a, b), (b, a)):
            assert (start.tcp(end.address, 80, timeout_s=timeout_s) is not None) == yes
            assert (start.udp(end.address, 53, timeout_s=timeout_s) is not None) == yes

    reach_each_other(yes=False)
    cloud.peer(red.project, blue.project)
    reach_each_other(yes=False)
    cloud.peer(blue.project, red.project)
    reach_each_other(yes=True)
    assert f"from {b.name}" in (a.tcp(b.address, 80) or "")

    with closing(a.connect(b.address, 80)) as across:
        assert across.echo()
        cloud.unpeer(blue.project, red.project)
        assert not across.echo(timeout_s=SILENCE_S), "a flow outlived the peering"
    reach_each_other(yes=False)


def test_security_groups_of_both_sides_judge_with_true_addresses_and_with_groups_of_the_peer(
    tenant: Callable, cloud: Cloud
) -> None:
    red, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    for one, other in ((red, blue), (blue, red)):
        cloud.peer(one.project, other.project)
    cloud.group(red.project, "web", egress=[allow("tcp", (80, 82), f"{blue.project}/db")])
    cloud.group(red.project, "plain", egress=[allow("tcp", (80, 82), "10.40.0.0/16")])
    cloud.group(
        blue.project,
        "db",
        ingress=[allow("tcp", 80, f"{red.project}/web"), allow("tcp", 81, "10.30.0.0/16")],
    )
    cloud.group(blue.project, "other", ingress=[allow("all", None, ANYWHERE)])
    web, plain = red.boot("web", groups=("web",)), red.boot("plain", groups=("plain",))
    db, other = blue.boot("db", groups=("db",)), blue.boot("other", groups=("other",))
    for guest in (db, other):
        guest.serve(tcp=[80, 81, 82])

    assert web.tcp(db.address, 80) and web.tcp(db.address, 81)
    assert web.tcp(db.address, 82, timeout_s=SILENCE_S) is None, "the receiver's groups judge"
    assert web.tcp(other.address, 80, timeout_s=SILENCE_S) is None, "the sender's groups judge"
    assert plain.tcp(db.address, 80, timeout_s=SILENCE_S) is None, "it is no member of the group that is named"
    assert plain.tcp(db.address, 81) and plain.tcp(other.address, 80)

    with closing(web.connect(db.address, 80)) as across:
        cloud.set_groups(red.project, "web", ["plain"])
        assert not across.echo(timeout_s=SILENCE_S), "a flow outlived a membership at the peer"
    cloud.set_groups(red.project, "web", ["web"])
    assert web.tcp(db.address, 80)


def test_a_peering_is_not_transitive_and_routers_are_no_way_through(
    tenant: Callable, cloud: Cloud, internet: Internet
) -> None:
    red, green, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16"), tenant("10.50.0.0/16")
    open_to_all(cloud, red, green, blue)
    cloud.snat(green.project)
    for one, other in ((red, green), (green, red), (green, blue), (blue, green)):
        cloud.peer(one.project, other.project)
    a, b, c = (one.boot(name, groups=("open",)) for one, name in ((red, "a"), (green, "b"), (blue, "c")))
    for guest in (a, b, c):
        guest.serve(tcp=[80])
    assert a.tcp(b.address, 80) and c.tcp(b.address, 80) and b.tcp(a.address, 80)

    assert a.tcp(c.address, 80, timeout_s=SILENCE_S) is None
    assert a.tcp(Internet.SERVER, 80, timeout_s=SILENCE_S) is None, "the peer's SNAT is the peer's"
    assert not a.ping("10.40.0.1", timeout_s=SILENCE_S), "the peer's router answered"
    lie = ipv4(c.address, b.address, 1, icmp_echo(data=b"from c" * 4))
    with b.sniff() as seen:
        a.send_frame(ethernet(a.mac, router_mac(a), 0x0800, lie))
        assert a.tcp(b.address, 80)
        assert not any(b"from c" in frame for frame in seen.frames())


def test_a_new_guest_of_a_peer_is_a_member_at_once_and_nothing_is_left_of_it(tenant: Callable, cloud: Cloud) -> None:
    red, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    for one, other in ((red, blue), (blue, red)):
        cloud.peer(one.project, other.project)
    cloud.group(red.project, "web", egress=[allow("all", None, ANYWHERE)])
    cloud.group(blue.project, "db", ingress=[allow("tcp", 80, f"{red.project}/web")])
    db = blue.boot("db", groups=("db",))
    db.serve(tcp=[80])

    first = red.boot("first", groups=("web",))
    assert first.tcp(db.address, 80)
    cloud.delete_port(red.project, "first")
    second = red.boot("second", groups=("default",))
    assert second.address != first.address
    assert second.tcp(db.address, 80, timeout_s=SILENCE_S) is None
    cloud.delete_vpc(red.project, cascade=True)
    assert not any("weft-peerings" in line for line in cloud.target().observed)
    assert cloud.drift() == []
    cloud.vpc(red.project, "10.30.0.0/16")
