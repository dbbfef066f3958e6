"""A clustered northbound: the leader is found, and its death loses and doubles nothing."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from clusters import DATABASE, Cluster

from weftwork.base.errors import Failure
from weftwork.drivers.ovn import rows
from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.client import Client
from weftwork.planner.plan import make_plan
from weftwork.program.ovn import Acl, AclAction, AclDirection, AddressSet, OvnResource, PortGroup
from weftwork.program.resource import Program

WRITERS = 16
ROUNDS = 12
RECOVERY_S = 60.0


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    one = Cluster(tmp_path_factory.mktemp("raft"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


def wanted(writer: int, rounds: int) -> Program:
    """Sets cannot be there twice, as their names are unique; rules could."""
    scope, group = f"weft-{writer}", f"w{writer}"
    things: set[OvnResource] = {PortGroup(scope, group)}
    for number in range(rounds):
        things.add(AddressSet(scope, f"w{writer}_{number}"))
        match = f"outport == @{group} && tcp.dst == {number}"
        things.add(Acl(scope, f"group {group}", AclDirection.TO_PORT, 1000, match, AclAction.DROP))
    return frozenset(things)


async def keep_trying(driver: OvnDriver, desired: Program) -> None:
    """As the reconciler does: what failed is looked at again."""
    async with asyncio.timeout(RECOVERY_S):
        while True:
            try:
                plan = make_plan(desired=desired, observed=await driver.observe(frozenset({next(iter(desired)).scope})))
                if not plan:
                    return
                await driver.apply(plan)
            except Failure:
                await asyncio.sleep(0.05)


async def test_the_death_of_the_leader_under_sixteen_writers_loses_and_doubles_nothing(cluster: Cluster) -> None:
    """In the end every row is there once: read by another client, for the writers' own copies might be wrong alike."""
    written = 0
    begun = asyncio.Event()

    async def write(writer: int) -> None:
        nonlocal written
        driver = OvnDriver(cluster.endpoints, install_timeout_s=0)
        try:
            for rounds in range(1, ROUNDS + 1):
                await keep_trying(driver, wanted(writer, rounds))
                written += 1
                if written == WRITERS * 3:
                    begun.set()
        finally:
            await driver.close()

    async def kill_the_leader() -> None:
        await begun.wait()
        await asyncio.to_thread(lambda: cluster.kill(cluster.leader()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kill_the_leader())
        for writer in range(WRITERS):
            tasks.create_task(write(writer))

    reader = Client(cluster.endpoints, DATABASE, rows.WATCHED)
    try:
        sets = Counter(row["name"] for row in (await reader.rows("Address_Set")).values())
        rules = Counter(row["match"] for row in (await reader.rows("ACL")).values())
    finally:
        await reader.close()
    every = frozenset[OvnResource]().union(*(wanted(writer, ROUNDS) for writer in range(WRITERS)))
    assert sets == Counter(one.name for one in every if isinstance(one, AddressSet))
    assert rules == Counter(one.match for one in every if isinstance(one, Acl))


async def test_a_client_that_is_led_elsewhere_goes_there(cluster: Cluster) -> None:
    client = Client(cluster.endpoints, DATABASE, {"Address_Set": ("name",)})
    try:
        before = cluster.leader()
        await client.rows("Address_Set")
        cluster.kill(before)
        async with asyncio.timeout(RECOVERY_S):
            while True:
                try:
                    await client.transact([wire.insert("Address_Set", {"name": "after"})])
                    break
                except Failure as failure:
                    assert failure.code == "OVN_CONNECTION_FAILED" or "constraint" in str(failure)
                    if "constraint" in str(failure):
                        break
                    await asyncio.sleep(0.05)
        names = [row["name"] for row in (await client.rows("Address_Set")).values()]
        assert names == ["after"] and cluster.leader() != before
        cluster.start_member(before)
    finally:
        await client.close()
