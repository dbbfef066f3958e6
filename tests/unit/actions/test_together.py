"""Many callers at the same time, in one server and in two over the same store."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from weftwork.actions.gate import Gates
from weftwork.actions.nat import create_dnat, create_snat
from weftwork.actions.network import Network
from weftwork.actions.ports import attach_port, create_port, delete_port, set_security_groups
from weftwork.actions.security_groups import create_security_group, delete_security_group
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.security_group import Protocol
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import BLUE, RED, leaks, network_on

Outcomes = Counter[str]


async def outcomes(calls: list[Coroutine[Any, Any, object]]) -> Outcomes:
    """How often each code came, "ok" for those that worked; any other error is raised."""

    async def outcome(call: Coroutine[Any, Any, object]) -> str:
        try:
            await call
        except Refusal as refusal:
            return refusal.code
        return "ok"

    async with asyncio.timeout(60):
        return Counter(await asyncio.gather(*map(outcome, calls)))


async def check(*networks: Network) -> None:
    """No two ports of a VPC share an address or MAC, nothing is orphaned, and all servers see the same."""
    first = networks[0]
    newest = (await first.store.range("")).revision
    for network in networks:
        assert await network.view.wait_for(newest)
        assert network.view.intent == first.view.intent
    for project in first.view.intent.values():
        ports = project.ports.values()
        assert len({one.mac for one in ports}) == len(ports)
        assert len({one.addresses for one in ports}) == len(ports)
        assert len({one.vlan for one in project.subnets.values()}) == len(project.subnets)
    assert await leaks(first.store) == ()


async def test_fifty_callers_create_and_delete_in_one_subnet(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/26"))

    async def caller(number: int) -> None:
        for turn in range(10):
            made = (await create_port(network, owner=RED, name=f"p{number}-{turn}")).value
            await delete_port(network, owner=RED, port=made.id, cascade=False)

    assert await outcomes([caller(number) for number in range(50)]) == {"ok": 50}
    assert network.view.intent[RED].ports == {}
    await check(network)


async def test_a_subnet_is_given_out_to_the_last_address_and_not_beyond(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/26"))

    assert await outcomes([create_port(network, owner=RED) for _ in range(100)]) == {"ok": 61, "SUBNET_EXHAUSTED": 39}
    await check(network)


async def test_the_same_wish_of_many_is_granted_once(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=None)
    address = IPv4Address("10.1.0.9")

    by_address = await outcomes([create_port(network, owner=RED, address=address) for _ in range(20)])
    assert by_address == {"ok": 1, "IP_ALREADY_ALLOCATED": 19}
    assert await outcomes([create_port(network, owner=RED, name="a") for _ in range(20)]) == {"ok": 20}
    assert len(network.view.intent[RED].ports) == 2
    vpcs = await outcomes([create_vpc(network, owner=BLUE, name="main", cidr=None) for _ in range(20)])
    assert vpcs == {"ok": 20}
    await check(network)


async def test_many_projects_at_once_get_ranges_vnis_and_external_addresses_of_their_own(network: Network) -> None:
    owners = [ProjectKey("many", f"p{number}") for number in range(40)]
    assert await outcomes([create_vpc(network, owner=one, name="", cidr=None) for one in owners]) == {"ok": 40}
    snats = await outcomes([create_snat(network, owner=one, external_ip=None) for one in owners])

    assert snats == {"ok": 5, "EXTERNAL_POOL_EXHAUSTED": 35}
    vpcs = [network.view.intent[one].vpc for one in owners]
    assert len({one.vni for one in vpcs if one}) == len({one.cidr for one in vpcs if one}) == 40
    await check(network)


async def test_subnets_at_once_do_not_overlap(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=None)
    same_range = [
        create_subnet(network, owner=RED, name=f"a{n}", cidr=IPv4Network("10.1.9.0/24"), dhcp_enabled=True)
        for n in range(10)
    ]
    assert await outcomes(same_range) == {"ok": 1, "CIDR_OVERLAP": 9}
    free = [create_subnet(network, owner=RED, name=f"b{n}", cidr=None, dhcp_enabled=True) for n in range(30)]
    assert await outcomes(free) == {"ok": 30}
    await check(network)


async def test_deletes_with_everything_are_not_outrun_by_new_ports(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=None)
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    await create_security_group(network, owner=RED, name="g")
    calls: list[Coroutine[Any, Any, object]] = [
        create_port(network, owner=RED, subnet="data", groups=("g",)) for _ in range(100)
    ]
    calls.insert(70, delete_security_group(network, owner=RED, group="g", cascade=True))
    calls.insert(50, delete_subnet(network, owner=RED, subnet="data", cascade=True))
    result = await outcomes(calls)

    assert result["ok"] == 52
    assert result["SUBNET_NOT_FOUND"] == 50
    assert network.view.intent[RED].ports == {}
    await check(network)


@pytest.mark.parametrize("seed", range(8))
async def test_two_servers_over_one_store_never_give_the_same_thing_twice(tmp_path: Path, seed: int) -> None:
    """Each decides on a view that is behind the other's writes: compares alone keep them apart."""
    chance = random.Random(seed)
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as here, network_on(store) as there:
        for owner in (RED, BLUE):
            await create_vpc(here, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/22"))

        async def caller(number: int) -> None:
            for _ in range(12):
                network = chance.choice((here, there))
                owner = chance.choice((RED, BLUE))
                await something(network, owner, f"{chance.randrange(6)}", chance)

        async def something(network: Network, owner: ProjectKey, name: str, chance: random.Random) -> None:
            calls = [
                lambda: create_port(network, owner=owner, name=f"p{name}", groups=("default",)),
                lambda: create_port(network, owner=owner, address=IPv4Address(f"10.1.0.1{name}")),
                lambda: delete_port(network, owner=owner, port=f"p{name}", cascade=True),
                lambda: attach_port(network, owner=owner, port=f"p{name}", vm=name),
                lambda: create_subnet(network, owner=owner, name=f"s{name}", cidr=None, dhcp_enabled=True),
                lambda: delete_subnet(network, owner=owner, subnet=f"s{name}", cascade=True),
                lambda: create_port(network, owner=owner, subnet=f"s{name}"),
                lambda: create_security_group(network, owner=owner, name=f"g{name}"),
                lambda: set_security_groups(network, owner=owner, port=f"p{name}", groups=(f"g{name}", "default")),
                lambda: delete_security_group(network, owner=owner, group=f"g{name}", cascade=True),
                lambda: create_dnat(
                    network,
                    owner=owner,
                    external_ip=None,
                    external_port=80,
                    protocol=Protocol.TCP,
                    internal_ip=IPv4Address(f"10.1.0.1{name}"),
                ),
                lambda: delete_vpc(network, owner=owner, cascade=True),
                lambda: create_vpc(network, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/22")),
            ]
            weights = [6, 6, 4, 4, 3, 3, 6, 3, 4, 3, 4, 1, 3]
            try:
                await chance.choices(calls, weights)[0]()
            except Refusal as refusal:
                known = refusal.code.endswith(("_NOT_FOUND", "_EXISTS", "_EXHAUSTED", "_IN_USE", "_ALREADY_ALLOCATED"))
                assert known or refusal.code in ("PORT_ALREADY_ATTACHED", "TOO_MANY_CONFLICTS", "IP_OUTSIDE_SUBNET"), (
                    refusal
                )

        assert await outcomes([caller(number) for number in range(24)]) == {"ok": 24}
        await check(here, there)
    await store.close()


async def test_what_is_not_a_port_has_the_project_for_itself_and_nobody_waits_for_ever() -> None:
    gates = Gates()
    story: list[str] = []

    async def visit(name: str, *, alone: bool, turns: int) -> None:
        await gates.enter(RED, alone=alone)
        story.append(f"+{name}")
        for _ in range(turns):
            await asyncio.sleep(0)
        story.append(f"-{name}")
        gates.leave(RED, alone=alone)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(visit("port1", alone=False, turns=3))
        tasks.create_task(visit("port2", alone=False, turns=1))
        tasks.create_task(visit("subnet", alone=True, turns=2))
        tasks.create_task(visit("port3", alone=False, turns=1))
        given_up = tasks.create_task(visit("given up", alone=True, turns=1))
        tasks.create_task(visit("port4", alone=False, turns=1))
        await asyncio.sleep(0)
        given_up.cancel()

    assert story == [
        "+port1",
        "+port2",
        "-port2",
        "-port1",
        "+subnet",
        "-subnet",
        "+port3",
        "+port4",
        "-port3",
        "-port4",
    ]
