"""Policies above security groups, as guests notice them: who wins, what ends, and what goes on."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from weftwork.client.messages import PolicyRule
from weftwork.client.rules import policy_rule
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest
from weftwork.testing.internet import Internet

SILENCE_S = 0.3
ANYWHERE = "0.0.0.0/0"
NO_80 = policy_rule("deny", "tcp", ANYWHERE, 80)


def subnet(name: str, protocol: str = "all", ports: int | None = None) -> PolicyRule:
    return policy_rule("allow", protocol, name, ports, peer_kind="subnet")


def open_group(cloud: Cloud, project: str) -> None:
    anybody = [allow("all", None, ANYWHERE)]
    cloud.group(project, "open", ingress=anybody, egress=anybody)


def boot(tenant: Any, *names: str) -> tuple[Guest, ...]:
    guests = tuple(tenant.boot(name, groups=("open",)) for name in names)
    for guest in guests:
        guest.serve(tcp=[80, 81], udp=[53])
    return guests


def reaches(a: Guest, b: Guest, port: int = 80) -> bool:
    return a.tcp(b.address, port) is not None


def is_kept_from(a: Guest, b: Guest, port: int = 80) -> bool:
    return a.tcp(b.address, port, timeout_s=SILENCE_S) is None


@pytest.mark.stock
def test_a_policy_denies_what_groups_allow_and_ends_only_what_it_forbids(tenant: Callable, cloud: Cloud) -> None:
    red = tenant("10.30.0.0/16")
    open_group(cloud, red.project)
    a, b = boot(red, "a", "b")

    with closing(a.connect(b.address, 80)) as web, closing(a.connect(b.address, 81)) as other:
        assert web.echo() and other.echo()
        cloud.policy(red.project, "no-web", "ingress", 10, NO_80)
        assert not web.echo(timeout_s=SILENCE_S), "a flow outlived the policy that forbids it"
        assert other.echo(), "a flow that nothing forbids ended"
    assert is_kept_from(a, b) and is_kept_from(b, a)
    assert reaches(a, b, 81) and a.udp(b.address, 53) and a.ping(b.address)

    cloud.delete_policy(red.project, "no-web")
    assert reaches(a, b) and reaches(b, a)


def test_the_first_rule_that_matches_decides_and_an_allow_overrides_no_group(tenant: Callable, cloud: Cloud) -> None:
    red = tenant("10.30.0.0/16")
    open_group(cloud, red.project)
    cloud.group(red.project, "friends")
    cloud.group(red.project, "shut", egress=[allow("all", None, ANYWHERE)])
    friend = red.boot("friend", groups=("open", "friends"))
    (other, server) = boot(red, "other", "server")
    shut = red.boot("shut", groups=("shut",))
    shut.serve(tcp=[80])

    cloud.policy(red.project, "web", "ingress", 10, policy_rule("allow", "tcp", "friends", 80), NO_80)
    assert reaches(friend, server) and is_kept_from(other, server)
    assert is_kept_from(friend, shut), "a policy opened what no group opens"
    cloud.policy(red.project, "before", "egress", 5, policy_rule("deny", "all", server.address + "/32"))
    assert is_kept_from(friend, server), "what the receiver allows, the sender's policy denies"
    cloud.set_groups(red.project, "other", ["open", "friends"])
    cloud.delete_policy(red.project, "before")
    assert reaches(other, server), "a new member is known to the policy at once"
    cloud.policy_rules(red.project, "web", NO_80)
    assert is_kept_from(friend, server)


def test_an_isolated_subnet_keeps_to_itself_in_both_directions(
    tenant: Callable, cloud: Cloud, internet: Internet
) -> None:
    red = tenant("10.30.0.0/16")
    open_group(cloud, red.project)
    cloud.snat(red.project)
    cloud.subnet(red.project, "data", "10.30.9.0/24")
    (near,) = boot(red, "near")
    far, farther = (red.boot(name, subnet="data", groups=("open",)) for name in ("far", "farther"))
    for guest in (far, farther):
        guest.serve(tcp=[80, 81])
    assert reaches(near, far) and reaches(far, near) and far.tcp(Internet.SERVER, 80)

    cloud.policy(red.project, "apart", "isolation", 10, subnet("default", "tcp", 81), subnet="data")
    assert reaches(far, farther), "inside the target nothing changes"
    assert reaches(near, far, 81) and reaches(far, near, 81), "what is excepted passes both ways"
    assert is_kept_from(near, far) and is_kept_from(far, near)
    assert far.tcp(Internet.SERVER, 80, timeout_s=SILENCE_S) is None
    assert near.tcp(Internet.SERVER, 80), "who is not in the target is not kept from anybody"
    assert far.ping("10.30.9.1"), "a gateway is no peer"

    cloud.delete_policy(red.project, "apart")
    assert reaches(near, far) and far.tcp(Internet.SERVER, 80)


def test_an_isolated_project_has_no_way_in_or_out(tenant: Callable, cloud: Cloud, internet: Internet) -> None:
    red, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    for one, other in ((red, blue), (blue, red)):
        open_group(cloud, one.project)
        cloud.peer(one.project, other.project)
    (a, b), (c,) = boot(red, "a", "b"), boot(blue, "c")
    cloud.snat(red.project)
    cloud.dnat(red.project, "203.0.113.51", 8080, "tcp", a.address, 80)
    assert reaches(a, c) and reaches(c, a) and internet.tcp("203.0.113.51", 8080)
    assert b.tcp("203.0.113.51", 8080)

    cloud.policy(red.project, "alone", "isolation", 1)
    assert is_kept_from(a, c) and is_kept_from(c, a)
    assert internet.tcp("203.0.113.51", 8080, timeout_s=SILENCE_S) is None
    assert a.tcp(Internet.SERVER, 80, timeout_s=SILENCE_S) is None
    assert reaches(a, b) and b.tcp("203.0.113.51", 8080), "by a DNAT, too, inside is inside"
    assert cloud.drift() == []
