"""Changes that undo themselves: when, how far, and who has the last word."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from weftwork.actions import confirmations, ports, reach_tests, security_groups, subnets, vpcs
from weftwork.actions.awaited import State
from weftwork.actions.network import Network
from weftwork.actions.reach_tests import Wanted
from weftwork.actions.terms import Terms, Unconfirmed
from weftwork.base.errors import Refusal
from weftwork.controller.confirming import Confirming
from weftwork.declare.probe import Probe, parse_probe
from weftwork.model.intent import ProjectIntent
from weftwork.model.reach_test import Must, PortRef
from weftwork.model.security_group import PortRange, Protocol
from weftwork.seams.insight import TargetSummary
from weftwork.seams.tracer import Flow, NotTraced, Traced
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import RED, HandClock, leaks, network_on, refused


@dataclass
class Hosts:
    """They have tried everything up to `generation`."""

    generation: int = 0

    async def targets(self) -> tuple[TargetSummary, ...]:
        return (TargetSummary("h", "linux", self.generation, self.generation, 0, 0, ""),)


@dataclass
class DataPlane:
    delivers: bool = True
    asked: int = 0

    async def trace(self, project: ProjectIntent, flow: Flow) -> Traced | NotTraced:
        self.asked += 1
        return Traced(self.delivers, ())


@pytest_asyncio.fixture
async def shop(network: Network) -> AsyncIterator[Network]:
    await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
    for name in ("p", "q"):
        await ports.create_port(network, owner=RED, name=name, vm=name)
    yield network


def waiting(network: Network, name: str = "c", within_s: int = 60, probes: tuple[Probe, ...] = ()) -> Network:
    return network.on_terms(Terms(unconfirmed=Unconfirmed(name, within_s, probes)))


def confirming(network: Network) -> Confirming:
    return Confirming(network, is_ours=lambda: True, targets=Hosts())


async def state(network: Network, name: str = "c") -> State:
    return {one.name: one.state for one in await confirmations.list_confirmations(network, owner=RED)}[name]


def pass_s(network: Network, seconds: int) -> None:
    assert isinstance(network.clock, HandClock)
    network.clock.time_s += seconds


async def test_what_nobody_confirms_is_undone_when_its_time_is_over_and_not_before(shop: Network) -> None:
    before = dict(shop.view.intent[RED].ports)
    await ports.delete_port(waiting(shop), owner=RED, port="p", cascade=False)

    pass_s(shop, 59)
    await confirming(shop).once()
    assert len(shop.view.intent[RED].ports) == 1
    pass_s(shop, 1)
    await confirming(shop).once()

    assert dict(shop.view.intent[RED].ports) == before
    assert await state(shop) is State.UNDONE
    assert await leaks(shop.store) == ()


async def test_what_is_confirmed_stays(shop: Network) -> None:
    await ports.delete_port(waiting(shop), owner=RED, port="p", cascade=False)

    await confirmations.confirm(shop, owner=RED, name="c")
    await confirmations.confirm(shop, owner=RED, name="c")
    pass_s(shop, 3600)
    await confirming(shop).once()

    assert len(shop.view.intent[RED].ports) == 1
    assert await state(shop) is State.CONFIRMED


async def test_a_word_that_comes_too_late_is_told_so(shop: Network) -> None:
    await ports.delete_port(waiting(shop), owner=RED, port="p", cascade=False)
    pass_s(shop, 60)

    async with refused(shop, "CONFIRMATION_OVER"):
        await confirmations.confirm(shop, owner=RED, name="c")
    async with refused(shop, "CONFIRMATION_NOT_FOUND"):
        await confirmations.confirm(shop, owner=RED, name="d")


async def test_a_change_of_nothing_waits_for_nothing(shop: Network) -> None:
    await ports.create_port(waiting(shop), owner=RED, name="p")

    assert await confirmations.list_confirmations(shop, owner=RED) == ()


async def test_a_refused_change_waits_for_nothing(shop: Network) -> None:
    async with refused(shop, "PORT_NOT_FOUND"):
        await ports.delete_port(waiting(shop), owner=RED, port="nobody", cascade=False)

    assert await confirmations.list_confirmations(shop, owner=RED) == ()


async def test_a_name_is_one_changes_only(shop: Network) -> None:
    await ports.delete_port(waiting(shop), owner=RED, port="p", cascade=False)

    with pytest.raises(Refusal) as told:
        await ports.delete_port(waiting(shop), owner=RED, port="q", cascade=False)

    assert told.value.code == "CONFIRMATION_EXISTS"
    assert len(shop.view.intent[RED].ports) == 1


async def test_several_wait_at_once_and_each_has_its_own_end(shop: Network) -> None:
    await ports.delete_port(waiting(shop, "one", 10), owner=RED, port="p", cascade=False)
    await ports.delete_port(waiting(shop, "two", 20), owner=RED, port="q", cascade=False)
    pass_s(shop, 10)
    await confirming(shop).once()

    assert [one.name for one in shop.view.intent[RED].ports.values()] == ["p"]
    pass_s(shop, 10)
    await confirming(shop).once()
    assert sorted(one.name for one in shop.view.intent[RED].ports.values()) == ["p", "q"]


async def test_what_somebody_else_changed_since_stays_and_that_is_told(shop: Network) -> None:
    await security_groups.create_security_group(shop, owner=RED, name="g")

    async def both(network: Network) -> None:
        from weftwork.actions.batch import run_batch

        await run_batch(
            network,
            [
                lambda on: security_groups.update_security_group(on, owner=RED, group="g", description="mine"),
                lambda on: ports.delete_port(on, owner=RED, port="p", cascade=False),
            ],
        )

    await both(waiting(shop))
    await security_groups.update_security_group(shop, owner=RED, group="g", description="theirs")
    pass_s(shop, 60)
    await confirming(shop).once()

    (told,) = await confirmations.list_confirmations(shop, owner=RED)
    assert told.state is State.PARTLY_UNDONE
    assert "security-group g" in told.why
    assert shop.view.intent[RED].groups["g"].description == "theirs"
    assert len(shop.view.intent[RED].ports) == 2


async def test_what_others_stand_on_by_now_is_not_undone_and_that_is_told(shop: Network) -> None:
    await subnets.create_subnet(waiting(shop), owner=RED, name="new", cidr=None, dhcp_enabled=True)
    await ports.create_port(shop, owner=RED, name="r", subnet="new")
    pass_s(shop, 60)
    await confirming(shop).once()

    (told,) = await confirmations.list_confirmations(shop, owner=RED)
    assert told.state is State.NOT_UNDONE
    assert "ROLLBACK_IMPOSSIBLE" in told.why
    assert "new" in shop.view.intent[RED].subnets
    await confirming(shop).once()
    assert await leaks(shop.store) == ()


async def test_a_probe_that_the_rules_refute_takes_the_change_back_at_once(shop: Network) -> None:
    probe = parse_probe("from p to q tcp/80")
    await ports.set_security_groups(waiting(shop, probes=(probe,)), owner=RED, port="q", groups=())

    await confirming(shop).once()

    assert await state(shop) is State.UNDONE
    assert {one.groups for one in shop.view.intent[RED].ports.values()} == {("default",)}


async def test_a_probe_that_holds_lets_the_change_wait(shop: Network) -> None:
    probe = parse_probe("not from p to q tcp/80")
    await ports.set_security_groups(waiting(shop, probes=(probe,)), owner=RED, port="q", groups=())

    await confirming(shop).once()

    assert await state(shop) is State.PENDING


async def test_a_data_plane_that_contradicts_a_probe_twice_takes_the_change_back(shop: Network) -> None:
    hosts, plane = Hosts(), DataPlane(delivers=False)
    loop = Confirming(shop, is_ours=lambda: True, targets=hosts, tracer=plane)
    probe = parse_probe("from p to q tcp/80")
    await security_groups.create_security_group(waiting(shop, probes=(probe,)), owner=RED, name="g")

    await loop.once()
    assert plane.asked == 0, "the hosts have not got it yet"
    hosts.generation = shop.view.revision
    await loop.once()
    assert await state(shop) is State.PENDING
    await loop.once()

    (told,) = await confirmations.list_confirmations(shop, owner=RED)
    assert told.state is State.UNDONE
    assert told.why.endswith("fails on the data plane")


async def test_a_reach_test_that_fails_later_takes_the_change_back(shop: Network) -> None:
    wanted = Wanted("t", Must.REACH, PortRef("p"), PortRef("q"), Protocol.TCP, PortRange(80, 80))
    await reach_tests.create_reach_test(shop, owner=RED, wanted=wanted)
    await security_groups.create_security_group(waiting(shop), owner=RED, name="g")
    shop.overrides_reach_tests = True
    await ports.set_security_groups(shop, owner=RED, port="q", groups=())
    shop.overrides_reach_tests = False

    await confirming(shop).once()

    assert await state(shop) is State.UNDONE


async def test_a_server_that_does_not_lead_undoes_nothing(shop: Network) -> None:
    await ports.delete_port(waiting(shop), owner=RED, port="p", cascade=False)
    pass_s(shop, 3600)

    await Confirming(shop, is_ours=lambda: False, targets=Hosts()).once()

    assert await state(shop) is State.PENDING


async def test_of_several_servers_and_a_person_exactly_one_settles_it(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as one, network_on(store) as other, network_on(store) as third:
        await vpcs.create_vpc(one, owner=RED, name="", cidr=None)
        await security_groups.create_security_group(waiting(one), owner=RED, name="g")
        await other.view.wait_for(one.view.revision)
        for network in (one, other):
            pass_s(network, 60)

        outcomes = await asyncio.gather(
            confirming(one).once(),
            confirming(other).once(),
            confirmations.confirm(third, owner=RED, name="c"),
            return_exceptions=True,
        )

        settled = await state(third)
        assert settled in (State.UNDONE, State.CONFIRMED)
        await third.view.wait_for((await store.range("/networks/")).revision, timeout_s=0.2)
        assert ("g" in third.view.intent[RED].groups) is (settled is State.CONFIRMED), outcomes
        undone = [one for one in (await store.range("/journal/")).records if b"Undo" in one.value]
        assert len(undone) == (settled is State.UNDONE)
    await store.close()


async def test_what_became_of_one_is_forgotten_in_the_end(shop: Network) -> None:
    await ports.delete_port(waiting(shop), owner=RED, port="p", cascade=False)
    pass_s(shop, 60)
    await confirming(shop).once()
    pass_s(shop, confirmations.KEPT_S + 1)
    await confirming(shop).once()

    assert await confirmations.list_confirmations(shop, owner=RED) == ()


@pytest.mark.parametrize(
    "text",
    ["from p to q", "from p to q all", "from p to q tcp", "from p to q icmp/1", "from p to q tcp/1-2", "p to q tcp/1"],
)
def test_what_is_no_probe_is_told_so(text: str) -> None:
    with pytest.raises(ValueError):
        parse_probe(text)


@pytest.mark.parametrize("text", ["from p to 10.1.0.5 tcp/443", "not from p to internet icmp"])
def test_a_probe_is_read_as_it_is_told(text: str) -> None:
    assert str(parse_probe(text)) == text
