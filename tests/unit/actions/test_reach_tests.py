"""Reach tests: stored when they hold, and then in the way of whatever would break them, alone or together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest
import pytest_asyncio

from weftwork.actions import reads
from weftwork.actions.nat import create_dnat, create_snat, delete_dnat, delete_snat
from weftwork.actions.network import Network
from weftwork.actions.network_policies import create_network_policy
from weftwork.actions.peerings import create_peering, delete_peering
from weftwork.actions.ports import (
    attach_port,
    create_port,
    delete_port,
    detach_port,
    plug_port,
    set_security_groups,
    unplug_port,
)
from weftwork.actions.reach_tests import (
    AppliedTests,
    Wanted,
    apply_reach_tests,
    create_reach_test,
    delete_reach_test,
    run_reach_tests,
)
from weftwork.actions.security_groups import (
    add_rules,
    create_security_group,
    delete_security_group,
    remove_rules,
    update_security_group,
)
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.errors import Refusal
from weftwork.model import keys
from weftwork.model.network_policy import PolicyKind
from weftwork.model.reach_test import Must, PortRef, parse_end, parse_service
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import BLUE, RED, Intercepted, leaks, network_at, network_on, refused

pytestmark = pytest.mark.asyncio
ANYWHERE = IPv4Network("0.0.0.0/0")
ALL_OUT = (Rule(Protocol.ALL, None, ANYWHERE),)

Call = Callable[[Network], Awaitable[object]]


def tcp(port: int, peer: IPv4Network | GroupRef = ANYWHERE) -> tuple[Rule, ...]:
    return (Rule(Protocol.TCP, PortRange(port, port), peer),)


def wanted(name: str, source: str, must: str, destination: str, service: str) -> Wanted:
    return Wanted(name, Must(must), parse_end(source), parse_end(destination), *parse_service(service))


async def demand(network: Network, source: str, must: str, destination: str, service: str, name: str = "t") -> None:
    await create_reach_test(network, owner=RED, wanted=wanted(name, source, must, destination, service))


async def furnish(network: Network) -> None:
    """web1 and web2 (group web) reach db1 (group db) at 5432, go out, and web1 serves 8080 outside; spare is loose."""
    await create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.0.0.0/16"))
    await create_subnet(network, owner=RED, name="data", cidr=IPv4Network("10.0.9.0/24"), dhcp_enabled=True)
    await create_security_group(network, owner=RED, name="web", ingress=tcp(8080), egress=ALL_OUT)
    await create_security_group(network, owner=RED, name="db", ingress=tcp(5432, GroupRef("web")))
    await create_security_group(network, owner=RED, name="jump", egress=ALL_OUT)
    for name in ("web1", "web2"):
        await create_port(network, owner=RED, name=name, vm=name, groups=("web",))
    await create_port(network, owner=RED, name="db1", vm="db1", subnet="data", groups=("db",))
    await create_port(network, owner=RED, name="jump1", groups=("jump",))
    await plug_port(network, owner=RED, port="jump1", netns="jump1")
    await create_port(network, owner=RED, name="spare", groups=("jump",))
    await create_snat(network, owner=RED, external_ip=IPv4Address("198.51.100.2"))
    await forward(network, 80, "web1", 8080)


async def forward(network: Network, external_port: int, port: str, internal_port: int) -> None:
    await create_dnat(
        network,
        owner=RED,
        external_ip=IPv4Address("198.51.100.2"),
        external_port=external_port,
        protocol=Protocol.TCP,
        internal_ip=address(network, port),
        internal_port=internal_port,
    )


def address(network: Network, name: str) -> IPv4Address:
    found = next(one for one in network.view.intent[RED].ports.values() if one.name == name).addresses[0]
    assert isinstance(found, IPv4Address)
    return found


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Network]:
    async with network_at(tmp_path) as network:
        await furnish(network)
        yield network
        assert await leaks(network.store) == ()


TRUE = {
    "web reaches db": ("group:web", "reach", "group:db", "tcp/5432"),
    "web1 reaches db1": ("port:web1", "reach", "port:db1", "tcp/5432"),
    "web reaches data": ("group:web", "reach", "subnet:data", "tcp/5432"),
    "web gets out": ("group:web", "reach", "internet", "tcp/443"),
    "web reaches 8.8.8.8": ("web1", "reach", "8.8.8.8", "udp/53"),
    "outside reaches web1": ("internet", "reach", "port:web1", "tcp/8080"),
    "a part of outside reaches web1": ("203.0.113.0/24", "reach", "port:web1", "tcp/8080"),
    "jump does not reach db": ("group:jump", "not-reach", "group:db", "all"),
    "db does not get out": ("group:db", "not-reach", "internet", "all"),
    "outside does not reach data": ("internet", "not-reach", "subnet:data", "all"),
    "outside does not reach web2": ("internet", "not-reach", "port:web2", "all"),
    "nobody reaches ssh": ("10.0.0.0/16", "not-reach", "10.0.0.0/16", "tcp/22"),
    "web reaches web's 8080": ("group:web", "reach", "group:web", "tcp/8080"),
    "an empty subnet is reached by all of nobody": ("subnet:default", "not-reach", "10.0.77.0/24", "all"),
}


@pytest.mark.parametrize("name", TRUE)
async def test_what_holds_is_stored_and_told_again(shop: Network, name: str) -> None:
    source, must, destination, service = TRUE[name]
    await demand(shop, source, must, destination, service)

    ((test, broken),) = await run_reach_tests(shop, owner=RED)
    assert broken is None
    assert test.must is Must(must)
    await demand(shop, source, must, destination, service)  # again: the same
    page = await reads.list_reach_tests(shop, owner=RED)
    assert [one.value for one in page.items] == [test]


@pytest.mark.parametrize("name", [name for name in TRUE if not name.startswith("an empty")])
async def test_what_does_not_hold_is_refused_with_the_packet_and_stored_only_when_told_to(
    shop: Network, name: str
) -> None:
    source, must, destination, service = TRUE[name]
    opposite = "reach" if must == "not-reach" else "not-reach"
    async with refused(shop, "REACH_TEST_FAILS", "t", "pass"):
        await demand(shop, source, opposite, destination, service)

    await demand(shop.on_behalf(shop.author, overrides_reach_tests=True), source, opposite, destination, service)
    ((_, broken),) = await run_reach_tests(shop, owner=RED, tests=["t"])
    assert broken and "pass" in broken.why


BREAKING: dict[str, tuple[str, Call]] = {
    "a rule is removed": (
        "web reaches db",
        partial(remove_rules, owner=RED, group="db", ingress=tcp(5432, GroupRef("web"))),
    ),
    "all rules are replaced": ("web1 reaches db1", partial(update_security_group, owner=RED, group="db", ingress=())),
    "a rule is added": ("jump does not reach db", partial(add_rules, owner=RED, group="db", ingress=tcp(22))),
    "a group lets all out": ("db does not get out", partial(add_rules, owner=RED, group="db", egress=ALL_OUT)),
    "a member without the rules": ("web reaches data", partial(create_port, owner=RED, vm="x", groups=("web", "jump"))),
    "a port leaves a group": (
        "web1 reaches db1",
        partial(set_security_groups, owner=RED, port="web1", groups=("jump",)),
    ),
    "a port joins a group": (
        "jump does not reach db",
        partial(set_security_groups, owner=RED, port="jump1", groups=("jump", "web")),
    ),
    "a port comes attached": (
        "jump does not reach db",
        partial(create_port, owner=RED, name="j2", vm="j2", groups=("jump", "web")),
    ),
    "a new port does not answer": ("web reaches data", partial(create_port, owner=RED, vm="x", subnet="data")),
    "a new member is not let out": ("web reaches db", partial(create_port, owner=RED, vm="x", groups=("db", "web"))),
    "a port is detached": ("web1 reaches db1", partial(detach_port, owner=RED, port="db1")),
    "a target is detached": ("outside reaches web1", partial(detach_port, owner=RED, port="web1")),
    "SNAT goes": ("web gets out", partial(delete_snat, owner=RED)),
    "SNAT goes, for one address": ("web reaches 8.8.8.8", partial(delete_snat, owner=RED)),
    "a DNAT goes": (
        "outside reaches web1",
        partial(
            delete_dnat, owner=RED, external_ip=IPv4Address("198.51.100.2"), external_port=80, protocol=Protocol.TCP
        ),
    ),
    "a policy denies": (
        "web reaches db",
        partial(create_network_policy, owner=RED, name="p", kind=PolicyKind.ISOLATION, subnet="data", priority=10),
    ),
    "a policy keeps all in": (
        "web gets out",
        partial(create_network_policy, owner=RED, name="p", kind=PolicyKind.ISOLATION, priority=10),
    ),
    "a DNAT comes": ("outside does not reach web2", lambda network: forward(network, 81, "web2", 8080)),
    "a group goes": ("db does not get out", partial(delete_security_group, owner=RED, group="web", cascade=True)),
}
NOT_BREAKING = {"a member without the rules", "a new member is not let out", "a group goes"}
"""These change reach, and not what the test is about."""


@pytest.mark.parametrize("change", BREAKING)
async def test_a_change_that_would_break_a_test_is_refused_and_tells_which_and_why(shop: Network, change: str) -> None:
    name, call = BREAKING[change]
    await demand(shop, *TRUE[name])
    if change in NOT_BREAKING:
        await call(shop)
        return
    async with refused(shop, "REACH_TEST_FAILED", "reach test t", "red/web"):
        await call(shop)
    async with refused(shop, "REACH_TEST_FAILED"):
        await call(shop.dry())

    await call(shop.on_behalf(shop.author, overrides_reach_tests=True))
    ((_, broken),) = await run_reach_tests(shop, owner=RED)
    assert broken


async def test_the_refusal_names_the_packet(shop: Network) -> None:
    await demand(shop, "group:jump", "not-reach", "group:db", "all")
    try:
        await add_rules(shop, owner=RED, group="db", ingress=tcp(22))
    except Refusal as refusal:
        here, there = address(shop, "jump1"), address(shop, "db1")
        assert refusal.message == (
            f"reach test t of red/web would fail: tcp 22 from port jump1 ({here}) to port db1 ({there}) passes"
        )
        assert "--override-reach-tests" in refusal.hint
    else:
        raise AssertionError("it was not refused")


async def test_a_test_that_fails_forbids_only_to_fail_in_more_places(shop: Network) -> None:
    await demand(shop, "group:jump", "not-reach", "group:db", "tcp")
    await add_rules(shop.on_behalf(shop.author, overrides_reach_tests=True), owner=RED, group="db", ingress=tcp(22))

    await add_rules(shop, owner=RED, group="web", ingress=tcp(22))  # another matter
    await add_rules(shop, owner=RED, group="db", ingress=tcp(22, IPv4Network("10.0.0.0/24")))  # nothing new
    async with refused(shop, "REACH_TEST_FAILED", "tcp 23"):
        await add_rules(shop, owner=RED, group="db", ingress=tcp(23))
    async with refused(shop, "REACH_TEST_FAILED", "spare"):
        await attach_port(shop, owner=RED, port="spare", vm="spare")
    await remove_rules(shop, owner=RED, group="db", ingress=tcp(22))  # the way back is open


async def test_what_a_test_names_goes_with_the_test_only(shop: Network) -> None:
    await demand(shop, "port:spare", "not-reach", "subnet:data", "all", name="one")
    await demand(shop, "group:jump", "not-reach", "port:db1", "all", name="two")
    deletions: dict[str, Callable[[Network, bool], Awaitable[None]]] = {
        "one": lambda network, cascade: delete_port(network, owner=RED, port="spare", cascade=cascade),
        "two": lambda network, cascade: delete_security_group(network, owner=RED, group="jump", cascade=cascade),
    }
    for name, delete in deletions.items():
        async with refused(shop, "IN_USE", f"reach test {name}"):
            await delete(shop, False)
    async with refused(shop, "IN_USE", "reach test one"):
        await delete_subnet(shop, owner=RED, subnet="data", cascade=False)
    async with refused(shop, "IN_USE", "reach test two"):
        await delete_vpc(shop, owner=RED, cascade=False)

    for name, delete in deletions.items():
        await delete(shop, True)
        assert name not in shop.view.intent[RED].reach_tests
    assert str(RED) not in shop.view.reach_guards, "without tests there is no guard"


async def test_a_project_goes_with_its_tests(shop: Network) -> None:
    await demand(shop, "group:web", "reach", "group:db", "tcp/5432")
    await delete_vpc(shop, owner=RED, cascade=True)

    assert not shop.view.reach_guards


async def test_another_projects_tests_are_not_found_and_not_in_the_way(shop: Network) -> None:
    await demand(shop, "group:web", "reach", "group:db", "tcp/5432")
    await create_vpc(shop, owner=BLUE, name="", cidr=IPv4Network("10.0.0.0/16"))
    await create_port(shop, owner=BLUE, vm="x", groups=("default",))

    with pytest.raises(Refusal, match="REACH_TEST_NOT_FOUND"):
        await delete_reach_test(shop, owner=BLUE, test="t")


BAD = {
    "INVALID_REACH_TEST": [
        ("internet", "reach", "8.8.8.8", "all"),
        ("internet", "not-reach", "internet", "all"),
        ("port:web1", "reach", "port:db1", "udp/4789"),
        ("port:web1", "reach", "port:db1", "icmp/7"),
        ("port:web1", "reach", "port:db1", "tcp/99-9"),
        ("port:web1", "reach", "port:db1", "tcp/99999"),
    ],
    "PORT_NOT_FOUND": [("port:nobody", "reach", "port:db1", "all")],
    "SECURITY_GROUP_NOT_FOUND": [("port:web1", "reach", "group:nobody", "all")],
    "SUBNET_NOT_FOUND": [("subnet:nowhere", "reach", "port:db1", "all")],
    "IPV6_NOT_SUPPORTED": [("fd00::/64", "reach", "port:db1", "all")],
    "REACH_TEST_FAILS": [
        ("port:spare", "reach", "port:db1", "tcp/5432"),
        ("port:web1", "reach", "10.0.9.99", "tcp/5432"),
        ("port:web1", "reach", "198.51.100.2", "tcp/80"),
    ],
}


@pytest.mark.parametrize(("code", "words"), [(code, words) for code, several in BAD.items() for words in several])
async def test_what_makes_no_question_is_refused(shop: Network, code: str, words: tuple[str, str, str, str]) -> None:
    async with refused(shop, code):
        if words[0].startswith("fd00"):
            source = IPv6Network(words[0])
            test = Wanted("t", Must.REACH, source, PortRef("db1"), Protocol.ALL, None)
            await create_reach_test(shop, owner=RED, wanted=test)
        await demand(shop, *words)


async def test_apply_makes_changes_and_with_prune_deletes_all_or_nothing(shop: Network) -> None:
    await demand(shop, *TRUE["web reaches db"], name="kept")
    await demand(shop, *TRUE["web gets out"], name="changed")
    await demand(shop, *TRUE["jump does not reach db"], name="gone")
    tests = [
        wanted("kept", *TRUE["web reaches db"]),
        wanted("changed", *TRUE["web reaches 8.8.8.8"]),
        wanted("new", *TRUE["outside reaches web1"]),
    ]
    failing = wanted("failing", "group:web", "not-reach", "group:db", "all")
    async with refused(shop, "REACH_TEST_FAILS", "failing"):
        await apply_reach_tests(shop, owner=RED, wanted=[*tests, failing], prune=True)
    async with refused(shop, "INVALID_REACH_TEST", "twice"):
        await apply_reach_tests(shop, owner=RED, wanted=[*tests, tests[0]], prune=True)

    applied = await apply_reach_tests(shop, owner=RED, wanted=tests, prune=True)
    assert applied.value == AppliedTests(("new",), ("changed",), ("gone",), ("kept",))
    assert set(shop.view.intent[RED].reach_tests) == {"kept", "changed", "new"}
    again = await apply_reach_tests(shop, owner=RED, wanted=tests, prune=True)
    assert again.value == AppliedTests(unchanged=("kept", "changed", "new"))


async def test_a_test_that_differs_from_the_one_of_its_name_is_refused(shop: Network) -> None:
    await demand(shop, *TRUE["web reaches db"])
    async with refused(shop, "REACH_TEST_ALREADY_EXISTS"):
        await demand(shop, *TRUE["web gets out"])


async def test_loose_ports_come_without_touching_the_guard(shop: Network) -> None:
    await demand(shop, *TRUE["web reaches db"])
    before = dict(shop.view.reach_guards)
    await create_port(shop, owner=RED, name="loose", groups=("web",))

    assert shop.view.reach_guards == before
    await unplug_port(shop, owner=RED, port="jump1")
    assert shop.view.reach_guards != before


async def test_a_project_without_tests_has_no_guard(shop: Network) -> None:
    assert await shop.store.get(keys.reach_guard(RED)) is None


# --- Two at the same time ---------------------------------------------------------------------------------------------


async def outcomes(*calls: Awaitable[object]) -> list[str]:
    """`ok`, or the code of the refusal."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    told = []
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Refusal):
            raise result
        told.append(result.code if isinstance(result, Refusal) else "ok")
    return told


def opened(network: Network) -> Awaitable[object]:
    """The group jump may be reached at 22 by whoever is in group web."""
    return add_rules(network, owner=RED, group="jump", ingress=tcp(22, GroupRef("web")))


def joined(network: Network) -> Awaitable[object]:
    """jump1 joins db."""
    return set_security_groups(network, owner=RED, port="jump1", groups=("db", "jump"))


@pytest.mark.parametrize("order", [1, -1])
async def test_two_changes_that_break_a_test_only_together_do_not_both_come(tmp_path: Path, order: int) -> None:
    """On two servers, each decided before it has seen the other."""
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as here, network_on(store) as there:
        await furnish(here)
        await demand(here, "group:web", "not-reach", "group:db", "tcp/22")
        await there.view.wait_for((await store.range("")).revision)

        told = await outcomes(*(opened(here), joined(there))[::order])

        assert sorted(told) == ["REACH_TEST_FAILED", "ok"]
        ((_, broken),) = await run_reach_tests(here, owner=RED)
        assert broken is None
    await store.close()


async def test_a_change_decided_before_there_were_tests_is_decided_anew(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    slow = Intercepted(store)
    async with network_on(store) as here, network_on(slow) as there:
        await furnish(here)
        await there.view.wait_for((await store.range("")).revision)
        slow.first = partial(demand, here, "group:jump", "not-reach", "group:db", "all")

        assert await outcomes(add_rules(there, owner=RED, group="db", ingress=tcp(22))) == ["REACH_TEST_FAILED"]
    await store.close()


@pytest.mark.parametrize("commits_before", [0, 1])
async def test_a_test_decided_before_a_change_is_decided_anew(tmp_path: Path, commits_before: int) -> None:
    """The change comes before the guard does, or between the guard and the test."""
    store = await SqliteStore.open(tmp_path / "weft.db")
    slow = Intercepted(store)
    async with network_on(store) as here, network_on(slow) as there:
        await furnish(here)
        await there.view.wait_for((await store.range("")).revision)

        async def change() -> None:
            await add_rules(here, owner=RED, group="db", ingress=tcp(22))

        async def guard_is_first() -> None:
            slow.first = change

        slow.first = guard_is_first if commits_before else change
        assert await outcomes(demand(there, "group:jump", "not-reach", "group:db", "all")) == ["REACH_TEST_FAILS"]
    await store.close()


async def test_many_changes_at_once_in_a_project_with_tests_all_come(shop: Network) -> None:
    await demand(shop, "group:web", "reach", "group:db", "tcp/5432")

    told = await outcomes(*(create_port(shop, owner=RED, vm=f"vm{number}", groups=("web",)) for number in range(40)))
    assert told == ["ok"] * 40


# --- With a peer ------------------------------------------------------------------------------------------------------


async def furnish_peer(network: Network) -> None:
    """Blue's VPC next to red's, with an office that goes anywhere; both halves of the peering are there.

    Without SNAT: there blue's addresses would be reached outside when the peering goes.
    """
    await delete_snat(network, owner=RED)
    await create_vpc(network, owner=BLUE, name="", cidr=IPv4Network("10.1.0.0/16"))
    await create_security_group(network, owner=BLUE, name="office", ingress=tcp(443), egress=ALL_OUT)
    await create_port(network, owner=BLUE, name="desk", vm="desk", groups=("office",), address=IPv4Address("10.1.0.10"))
    for owner, peer in ((RED, BLUE), (BLUE, RED)):
        await create_peering(network, owner=owner, name="", peer=peer)


PEERED = {
    "web reaches the office": ("group:web", "reach", "10.1.0.0/24", "tcp/443"),
    "web1 reaches the desk": ("port:web1", "reach", "10.1.0.10", "tcp/443"),
    "the office reaches web": ("10.1.0.0/24", "reach", "group:web", "tcp/8080"),
    "the office does not reach data": ("10.1.0.0/16", "not-reach", "subnet:data", "all"),
    "jump1 does not answer": ("10.1.0.0/16", "not-reach", "port:jump1", "all"),
}
BREAKING_ACROSS: dict[str, tuple[str, Call]] = {
    "one's own half goes": (
        "web1 reaches the desk",
        lambda network: delete_peering(network, owner=RED, peering=str(BLUE), cascade=True),
    ),
    "the peer's half goes": (
        "web reaches the office",
        lambda network: delete_peering(network, owner=BLUE, peering=str(RED), cascade=True),
    ),
    "the peer closes": (
        "web reaches the office",
        partial(update_security_group, owner=BLUE, group="office", ingress=()),
    ),
    "the peer's guest goes": ("web1 reaches the desk", partial(detach_port, owner=BLUE, port="desk")),
    "the peer gets a guest that does not answer": (
        "web reaches the office",
        partial(create_port, owner=BLUE, vm="x", groups=("default",)),
    ),
    "one opens to the peer": (
        "the office does not reach data",
        partial(add_rules, owner=RED, group="db", ingress=tcp(22)),
    ),
    "one names a group of the peer": (
        "jump1 does not answer",
        lambda network: add_rules(network, owner=RED, group="jump", ingress=tcp(22, GroupRef("office", BLUE))),
    ),
    "one closes to the peer": (
        "the office reaches web",
        partial(update_security_group, owner=RED, group="web", ingress=()),
    ),
}


@pytest.mark.parametrize("change", BREAKING_ACROSS)
async def test_what_either_side_of_a_peering_does_is_held_against_the_tests(shop: Network, change: str) -> None:
    await furnish_peer(shop)
    name, call = BREAKING_ACROSS[change]
    await demand(shop, *PEERED[name])
    async with refused(shop, "REACH_TEST_FAILED", "reach test t of red/web"):
        await call(shop)

    await call(shop.on_behalf(shop.author, overrides_reach_tests=True))
    ((_, broken),) = await run_reach_tests(shop, owner=RED)
    assert broken


async def test_peering_is_refused_when_it_would_open_what_a_test_forbids(shop: Network) -> None:
    await create_vpc(shop, owner=BLUE, name="", cidr=IPv4Network("10.1.0.0/16"))
    await create_security_group(shop, owner=BLUE, name="office", egress=ALL_OUT)
    await create_port(shop, owner=BLUE, name="desk", vm="desk", groups=("office",))
    await demand(shop, "10.1.0.0/16", "not-reach", "port:web2", "all")
    await create_peering(shop, owner=RED, name="", peer=BLUE)  # an offer opens nothing

    async with refused(shop, "REACH_TEST_FAILED", "tcp 8080 from 10.1.0", "web2"):
        await create_peering(shop, owner=BLUE, name="", peer=RED)


async def test_a_peers_guests_are_told_by_address_only(shop: Network) -> None:
    await furnish_peer(shop)
    async with refused(shop, "REACH_TEST_FAILS", "to 10.1.0.10 passes"):
        await demand(shop, "port:web1", "not-reach", "10.1.0.0/24", "tcp/443")
    async with refused(shop, "REACH_TEST_FAILS", "nobody has 10.1.0.99"):
        await demand(shop, "port:web1", "reach", "10.1.0.99", "tcp/443")


async def test_two_sides_of_a_peering_that_break_a_test_only_together_do_not_both(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as here, network_on(store) as there:
        await furnish(here)
        await furnish_peer(here)
        await update_security_group(here, owner=BLUE, group="office", egress=())
        await demand(here, "10.1.0.0/16", "not-reach", "group:db", "tcp/22")
        await there.view.wait_for((await store.range("")).revision)

        told = await outcomes(
            add_rules(here, owner=RED, group="db", ingress=tcp(22)),
            update_security_group(there, owner=BLUE, group="office", egress=ALL_OUT),
        )

        assert sorted(told) == ["REACH_TEST_FAILED", "ok"]
    await store.close()
