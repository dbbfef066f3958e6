"""The laws of a driver, in real namespaces."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linux_programs import EXTERNAL, GUESTS, PREFIX, SCOPES, external, mac, programs, tap, veth, vpc

from weftwork.drivers.linux import namespaces, netlink, nft, sysctls, taps
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.planner.plan import make_plan
from weftwork.program.linux import Family, LinkKind, NftChain, PortLink
from weftwork.program.plan import Create, Plan
from weftwork.program.resource import Program
from weftwork.seams.driver import Driver

pytestmark = pytest.mark.system

OURS = frozenset({*SCOPES, EXTERNAL})
NOTHING: Program = frozenset()
A = SCOPES[0]


def plan(desired: Program, observed: Program) -> Plan:
    return make_plan(desired=desired, observed=observed)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def within(scope: str, *command: str) -> str:
    return run("ip", "netns", "exec", scope, *command)


async def converge(driver: Driver, desired: Program) -> None:
    applied = await driver.apply(plan(desired, await driver.observe(OURS)))
    assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}


async def assert_holds(driver: Driver, desired: Program) -> None:
    observed = await driver.observe(OURS)
    assert plan(desired, observed) == ()
    assert observed == desired


def tell(story: Callable[[LinuxDriver], Awaitable[None]]) -> None:
    """A story with a driver of its own that ends with an empty host."""

    async def whole() -> None:
        driver = LinuxDriver()
        try:
            async with asyncio.timeout(60):
                await story(driver)
                await converge(driver, NOTHING)
                await assert_holds(driver, NOTHING)
        finally:
            driver.close()

    asyncio.run(whole())


def test_one_of_everything_is_observed_as_it_was_asked_for_also_by_another_driver(guests: tuple[str, ...]) -> None:
    desired = external() | vpc()

    async def story(driver: LinuxDriver) -> None:
        await converge(driver, desired)
        await assert_holds(driver, desired)
        another = LinuxDriver()
        await assert_holds(another, desired)
        another.close()

    tell(story)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(programs(), min_size=1, max_size=4))
def test_whatever_was_there_before_what_is_applied_is_observed(guests: tuple[str, ...], steps: list[Program]) -> None:
    async def story(driver: LinuxDriver) -> None:
        for desired in steps:
            await converge(driver, desired)
            await assert_holds(driver, desired)

    tell(story)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(desired=programs())
def test_a_plan_may_be_carried_out_twice(guests: tuple[str, ...], desired: Program) -> None:
    async def story(driver: LinuxDriver) -> None:
        creations, deletions = plan(desired, NOTHING), plan(NOTHING, desired)
        for steps, result in ((creations, desired), (creations, desired), (deletions, NOTHING), (deletions, NOTHING)):
            applied = await driver.apply(steps)
            assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}
            await assert_holds(driver, result)

    tell(story)


BREAKAGES = {
    "bridge": ("ip", "link", "delete", "br1"),
    "bridge down": ("ip", "link", "set", "br1", "down"),
    "bridge mtu": ("ip", "link", "set", "br1", "mtu", "1300"),
    "port": ("ip", "link", "delete", "tap000000000001"),
    "port of a namespace": ("ip", "link", "delete", "tap000000000002"),
    "port down": ("ip", "link", "set", "tap000000000001", "down"),
    "port off the bridge": ("ip", "link", "set", "tap000000000002", "nomaster"),
    "port learning": ("bridge", "link", "set", "dev", "tap000000000002", "learning", "on"),
    "forwarding entry": ("bridge", "fdb", "delete", str(mac(1)), "dev", "tap000000000001", "master"),
    "address": ("ip", "address", "delete", "10.0.0.1/24", "dev", "br1"),
    "neighbour": ("ip", "neighbour", "delete", "10.0.0.10", "dev", "br1"),
    "neighbour's MAC": ("ip", "neigh", "replace", "10.0.0.10", "lladdr", str(mac(9)), "dev", "br1", "nud", "permanent"),
    "route": ("ip", "route", "delete", "default"),
    "uplink": ("ip", "link", "delete", "ext0"),
    "sysctl": ("sysctl", "-qw", "net.ipv4.ip_forward=0"),
    "table": ("nft", "delete table inet weftwork"),
    "rules": ("nft", "flush chain inet weftwork forward"),
    "foreign rule": ("nft", "add rule inet weftwork forward accept"),
    "rule on top": ("nft", "insert rule bridge weftwork prerouting accept"),
    "policy": ("nft", "chain inet weftwork forward { policy accept; }"),
    "element": ("nft", "delete element inet weftwork ingress { 10.0.0.10 }"),
    "interval": ("nft", "delete element inet weftwork in.web.6.80 { 192.0.2.0/24 }"),
    "added element": ("nft", "add element inet weftwork in.web.6.80 { 0.0.0.0/1 }"),
    "everything": ("nft", "flush ruleset"),
}


@pytest.mark.parametrize("breakage", sorted(BREAKAGES))
def test_what_an_operator_breaks_is_seen_and_repaired(guests: tuple[str, ...], breakage: str) -> None:
    desired = external() | vpc()

    async def story(driver: LinuxDriver) -> None:
        await converge(driver, desired)
        within(A, *BREAKAGES[breakage])
        assert await driver.observe(OURS) != desired
        await converge(driver, desired)
        await assert_holds(driver, desired)

    tell(story)


@pytest.mark.parametrize("lost", [A, EXTERNAL, GUESTS[0]], ids=["of a VPC", "of the outside", "of a guest"])
def test_a_lost_namespace_is_made_again_with_what_hung_on_it(guests: tuple[str, ...], lost: str) -> None:
    desired = external() | vpc()

    async def story(driver: LinuxDriver) -> None:
        await converge(driver, desired)
        run("ip", "netns", "delete", lost)
        if lost in GUESTS:
            run("ip", "netns", "add", lost)
        await settled(driver, desired)
        await assert_holds(driver, desired)

    async def settled(driver: LinuxDriver, desired: Program) -> None:
        """The kernel ends a namespace some time after its name is gone, and its veths with it."""
        async with asyncio.timeout(10):
            while True:
                observed = await driver.observe(OURS)
                if observed == desired:
                    return
                await driver.apply(plan(desired, observed))

    tell(story)


def test_a_guests_namespace_that_is_not_there_fails_its_port_and_nothing_else(guests: tuple[str, ...]) -> None:
    lonely = veth(A, 7, f"{PREFIX}nobody")
    desired = external() | vpc() | {lonely}

    async def story(driver: LinuxDriver) -> None:
        applied = await driver.apply(plan(desired, NOTHING))
        assert {key: failure.code for key, failure in applied.failures.items()} == {lonely.key: "NETNS_MISSING"}
        await assert_holds(driver, desired - {lonely})

    tell(story)


def test_a_link_of_somebody_else_keeps_its_name(guests: tuple[str, ...]) -> None:
    mine = tap(A, 8)
    desired = external() | vpc()

    async def story(driver: LinuxDriver) -> None:
        await converge(driver, desired)
        within(A, "ip", "link", "add", mine.name, "type", "bridge")
        applied = await driver.apply((Create(mine),))
        assert [failure.code for failure in applied.failures.values()] == ["LINK_NAME_TAKEN"]
        assert mine.name in within(A, "ip", "-br", "link", "show", "type", "bridge")
        await assert_holds(driver, desired)

    tell(story)


def test_rules_that_the_kernel_refuses_leave_no_half_and_bring_no_port_up(guests: tuple[str, ...]) -> None:
    wrong = NftChain(A, Family.INET, "wrong", "", ("no such words",))
    port = tap(A, 8)
    desired = external() | vpc()

    async def story(driver: LinuxDriver) -> None:
        await converge(driver, desired)
        good = NftChain(A, Family.INET, "good", "", ("accept",))
        applied = await driver.apply(plan(desired | {wrong, good, port}, desired))
        assert {key: failure.code for key, failure in applied.failures.items()} == {
            wrong.key: "RULES_REFUSED",
            good.key: "RULES_REFUSED",
            port.key: "RULES_NOT_IN_PLACE",
        }
        await assert_holds(driver, desired)

    tell(story)


def test_a_named_counter_counts_on_while_a_rule_speaks_of_it_and_goes_with_the_last(guests: tuple[str, ...]) -> None:
    counted = NftChain(A, Family.INET, "counted", "", ('counter name "seen" accept',))
    again = NftChain(A, Family.INET, "again", "", ('counter name "seen" drop', 'counter name "rest" drop'))
    start = external() | vpc()

    def counters() -> str:
        return within(A, "nft", "list", "counters", "table", "inet", "weftwork")

    async def story(driver: LinuxDriver) -> None:
        await converge(driver, start | {counted, again})
        assert "counter seen" in counters() and "counter rest" in counters()
        await converge(driver, start | {counted})
        assert "counter seen" in counters() and "counter rest" not in counters()
        await converge(driver, start)
        assert "counter seen" not in counters()

    tell(story)


def foreign_objects() -> str:
    """Everything an operator put into our namespace, as the tools show it."""
    return "\n".join(
        (
            within(A, "nft", "list", "table", "inet", "operator"),
            within(A, "ip", "-br", "address", "show", "dev", "op0"),
            within(A, "ip", "route", "show", "198.18.0.0/15"),
            within(A, "ip", "neigh", "show", "10.0.0.200"),
            within(A, "ip", "-br", "address", "show", "dev", "br1", "to", "10.0.0.99"),
            run("ip", "netns", "exec", f"{PREFIX}operator", "ip", "-br", "link"),
        )
    )


def test_what_lacks_our_mark_is_neither_seen_nor_touched(guests: tuple[str, ...]) -> None:
    desired = external() | vpc()

    async def story(driver: LinuxDriver) -> None:
        run("ip", "netns", "add", f"{PREFIX}operator")
        await converge(driver, desired)
        within(A, "ip", "link", "add", "op0", "type", "bridge")
        within(A, "ip", "link", "set", "op0", "alias", "weft", "up")
        within(A, "ip", "address", "add", "198.18.0.1/32", "dev", "op0")
        within(A, "ip", "address", "add", "10.0.0.99/32", "dev", "br1")
        within(A, "ip", "route", "add", "198.18.0.0/15", "dev", "op0")
        within(A, "ip", "neigh", "add", "10.0.0.200", "lladdr", str(mac(200)), "dev", "br1", "nud", "permanent")
        within(A, "nft", "add table inet operator; add chain inet operator c; add rule inet operator c accept")
        before = foreign_objects()

        await assert_holds(driver, desired)
        everywhere = LinuxDriver(PREFIX)
        assert await everywhere.observe() == desired
        everywhere.close()
        removed = frozenset(one for one in desired if not isinstance(one, PortLink))
        await converge(driver, removed)
        await converge(driver, desired)
        assert foreign_objects() == before

    tell(story)


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


@contextmanager
def killed_at(point: int) -> Iterator[list[int]]:
    """Every way to change the kernel is counted; the one numbered `point` is not reached any more."""
    count = [0]
    patch = pytest.MonkeyPatch()

    def counted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def instead(*arguments: object, **named: object) -> object:
            count[0] += 1
            if count[0] > point:
                raise Killed
            return real(*arguments, **named)

        patch.setattr(owner, name, instead)

    counted(netlink.Socket, "_exchange_chunk")
    counted(nft, "commit")
    counted(sysctls, "write")
    counted(taps, "create")
    counted(taps, "persist")
    counted(namespaces, "_make_marked_file")
    counted(namespaces, "name_the_present_one")
    counted(namespaces, "remove")
    try:
        yield count
    finally:
        patch.undo()


@pytest.mark.parametrize("direction", ["make", "change", "remove"])
def test_killed_at_any_step_the_next_driver_gets_there(guests: tuple[str, ...], direction: str) -> None:
    full = external() | vpc()
    port = PortLink(A, tap(A, 1).name, LinkKind.TAP, "br1", mac(77), 1400)
    other = frozenset(one for one in full if one.key != port.key and one.rank not in (9, 10)) | {port}
    start, end = {"make": (NOTHING, full), "change": (full, other), "remove": (full, external())}[direction]

    async def story(driver: LinuxDriver) -> None:
        point, finished = 0, False
        while not finished:
            await converge(driver, start)
            steps = plan(end, await driver.observe(OURS))
            with killed_at(point) as count:
                victim = LinuxDriver()
                try:
                    await victim.apply(steps)
                except Killed:
                    pass
                finally:
                    victim.close()
                finished = count[0] <= point
            heir = LinuxDriver()
            await converge(heir, end)
            await assert_holds(heir, end)
            heir.close()
            point += 1
        assert point > 3

    tell(story)
