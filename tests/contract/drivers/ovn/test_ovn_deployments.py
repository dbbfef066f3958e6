"""Rows and plugs of another deployment are a stranger's, until they are adopted."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from ovn_programs import GUESTS, OVN_NETNS, network, plugs

from weftwork.apps.deployment import Deployment, LaterTakenOver
from weftwork.base.errors import Failure
from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.planner.plan import make_plan
from weftwork.program.plan import Delete
from weftwork.program.resource import Program

pytestmark = pytest.mark.system

OURS, THEIRS = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
Pair = tuple[OvnDriver, ChassisDriver]


@pytest.fixture
async def pairs(ovn: PrivateOvn) -> AsyncIterator[dict[str, Pair]]:
    async with AsyncExitStack() as stack:
        made: dict[str, Pair] = {}
        for one in (OURS, THEIRS, ""):
            north = OvnDriver((ovn.northbound,), deployment=one)
            chassis = ChassisDriver(ovn.switch, netns=OVN_NETNS, deployment=one)
            stack.push_async_callback(north.close)
            stack.push_async_callback(chassis.close)
            made[one] = (north, chassis)
        yield made


async def make(driver: OvnDriver | ChassisDriver, desired: Program) -> None:
    applied = await driver.apply(make_plan(desired=desired, observed=await driver.observe()))
    assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}
    assert await driver.observe() == desired


@pytest.mark.parametrize("former", [THEIRS, ""])
async def test_another_deployment_sees_and_deletes_nothing_until_it_adopts_all_of_it(
    pairs: dict[str, Pair], former: str
) -> None:
    (north, chassis), (their_north, their_chassis) = pairs[OURS], pairs[former]
    rows, ports = network(), plugs(GUESTS)
    await make(their_north, rows)
    await make(their_chassis, ports)

    assert await north.observe() == frozenset() and await chassis.observe() == frozenset()
    await north.apply(tuple(Delete(one) for one in rows))
    await chassis.apply(tuple(Delete(one) for one in ports))
    assert await their_north.observe() == rows and await their_chassis.observe() == ports
    assert await north.standing() == {former: {"weft-101"}}
    assert await chassis.standing() == {former: {one.key[2] for one in ports}}

    await north.adopt(frozenset({former}))
    await chassis.adopt(frozenset({former}))
    assert await north.observe() == rows and await chassis.observe() == ports
    assert await their_north.observe() == frozenset() and await their_chassis.observe() == frozenset()
    await make(chassis, frozenset())
    await make(north, frozenset())
    assert await their_north.standing() == {} and await their_chassis.standing() == {}


async def test_a_name_that_another_deployment_has_is_refused(pairs: dict[str, Pair]) -> None:
    (north, chassis), (their_north, their_chassis) = pairs[OURS], pairs[THEIRS]
    await make(their_north, network())
    await make(their_chassis, plugs(GUESTS))

    refused = await north.apply(make_plan(desired=network(), observed=frozenset()))
    taken = await chassis.apply(make_plan(desired=plugs(GUESTS), observed=frozenset()))

    assert {failure.code for failure in refused.failures.values()} == {"OVSDB_REFUSED"}
    assert {failure.code for failure in taken.failures.values()} == {"LINK_NAME_TAKEN"}
    assert await their_north.observe() == network() and await their_chassis.observe() == plugs(GUESTS)
    await make(their_chassis, frozenset())


async def test_a_northbound_that_comes_into_reach_later_is_not_read_before_it_is_ours(pairs: dict[str, Pair]) -> None:
    (north, _), (their_north, _) = pairs[OURS], pairs[THEIRS]
    await make(their_north, network())

    with pytest.raises(Failure, match="DEPLOYMENT_DIFFERS"):
        await LaterTakenOver(north, Deployment(OURS)).observe()
    assert await their_north.observe() == network()

    assert await LaterTakenOver(north, Deployment(OURS, frozenset({THEIRS}))).observe() == network()
    await make(north, frozenset())
