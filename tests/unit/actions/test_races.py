"""Every two calls at the worst moment: one was decided, then the other is carried out by another server, then the
first one's transaction arrives. Its compares must notice whatever matters.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path
from typing import Any

import pytest

from weftwork.actions.nat import create_dnat, create_snat, delete_dnat, delete_snat
from weftwork.actions.network import Network
from weftwork.actions.ports import (
    attach_port,
    create_port,
    delete_port,
    detach_port,
    plug_port,
    set_security_groups,
    unplug_port,
)
from weftwork.actions.reach_tests import Wanted, create_reach_test, delete_reach_test
from weftwork.actions.security_groups import (
    add_rules,
    create_security_group,
    delete_security_group,
    remove_rules,
    update_security_group,
)
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.addresses import Mac
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.network_policy import SubnetRef
from weftwork.model.reach_test import End, Internet, Must, PortRef
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.seams.store import Put, Record, Remove, Store, Transaction
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import BLUE, RED, Intercepted, content, leaks, network_on

GREEN, GREY = ProjectKey("green", "web"), ProjectKey("grey", "web")
P, Q, R = IPv4Address("10.1.0.10"), IPv4Address("10.1.1.10"), IPv4Address("10.1.0.11")
OUTSIDE, OTHER_OUTSIDE = IPv4Address("198.51.100.2"), IPv4Address("198.51.100.3")
RANGE = IPv4Network("10.1.0.0/16")

Call = Callable[[Network], Coroutine[Any, Any, object]]


def allow(name: str) -> Rule:
    return Rule(Protocol.ALL, None, GroupRef(name))


def forward(owner: ProjectKey, external: IPv4Address, number: int, internal: IPv4Address) -> Call:
    return partial(
        create_dnat,
        owner=owner,
        external_ip=external,
        external_port=number,
        protocol=Protocol.TCP,
        internal_ip=internal,
        internal_port=80,
    )


def subnet(name: str, cidr: str) -> Call:
    return partial(create_subnet, owner=RED, name=name, cidr=ip_network(cidr), dhcp_enabled=True)


async def delete_subnet_and_make_it_again(network: Network) -> None:
    await delete_subnet(network, owner=RED, subnet="data", cascade=True)
    await subnet("data", "10.1.1.0/24")(network)


async def delete_vpc_and_make_it_again(network: Network) -> None:
    await delete_vpc(network, owner=RED, cascade=True)
    await create_vpc(network, owner=RED, name="main", cidr=RANGE)


async def delete_group_and_make_it_again(network: Network) -> None:
    await delete_security_group(network, owner=RED, group="db", cascade=True)
    await create_security_group(network, owner=RED, name="db")


def reach_test(owner: ProjectKey, name: str, source: End, destination: End) -> Call:
    """A reach test that holds in the world below."""
    wanted = Wanted(name, Must.NOT_REACH, source, destination, Protocol.TCP, PortRange(25, 25))
    return partial(create_reach_test, owner=owner, wanted=wanted)


async def make_and_delete_a_reach_test(network: Network) -> None:
    await reach_test(RED, "t", GroupRef("lone"), PortRef("r"))(network)
    await delete_reach_test(network, owner=RED, test="t")


CALLS: dict[str, Call] = {
    "test that lone does not reach r": reach_test(RED, "t", GroupRef("lone"), PortRef("r")),
    "test that db does not reach empty": reach_test(RED, "u", GroupRef("db"), SubnetRef("empty")),
    "test that blue b does not get out": reach_test(BLUE, "t", PortRef("b"), Internet()),
    "make a reach test and delete it": make_and_delete_a_reach_test,
    "create a port": partial(create_port, owner=RED, groups=("web", "default")),
    "create a port in data": partial(create_port, owner=RED, subnet="data", groups=("db",)),
    "create a port at .50": partial(create_port, owner=RED, address=IPv4Address("10.1.0.50")),
    "create a port with a MAC": partial(create_port, owner=RED, mac=Mac("0a:00:00:00:00:01")),
    "create a port named n": partial(create_port, owner=RED, name="n", subnet="data"),
    "create a blue port": partial(create_port, owner=BLUE),
    "delete p with its DNAT": partial(delete_port, owner=RED, port="p", cascade=True),
    "delete q": partial(delete_port, owner=RED, port="q", cascade=False),
    "delete r": partial(delete_port, owner=RED, port="r", cascade=False),
    "attach r to vm1": partial(attach_port, owner=RED, port="r", vm="vm1"),
    "attach r to vm2": partial(attach_port, owner=RED, port="r", vm="vm2"),
    "detach p": partial(detach_port, owner=RED, port="p"),
    "plug r": partial(plug_port, owner=RED, port="r", netns="n1"),
    "plug blue b": partial(plug_port, owner=BLUE, port="b", netns="n1"),
    "unplug q": partial(unplug_port, owner=RED, port="q"),
    "regroup r": partial(set_security_groups, owner=RED, port="r", groups=("db", "web")),
    "regroup q": partial(set_security_groups, owner=RED, port="q", groups=()),
    "create subnet a": subnet("a", "10.1.9.0/24"),
    "create subnet b over a": subnet("b", "10.1.9.128/25"),
    "create subnet c": partial(create_subnet, owner=RED, name="c", cidr=None, dhcp_enabled=True),
    "delete data with everything": partial(delete_subnet, owner=RED, subnet="data", cascade=True),
    "delete empty": partial(delete_subnet, owner=RED, subnet="empty", cascade=False),
    "create a port in empty": partial(create_port, owner=RED, subnet="empty", groups=("lone",)),
    "make data again": delete_subnet_and_make_it_again,
    "create a group naming db": partial(
        create_security_group, owner=RED, name="g", ingress=(allow("db"), allow("lone"))
    ),
    "web names default": partial(update_security_group, owner=RED, group="web", ingress=(allow("default"),)),
    "web names lone": partial(add_rules, owner=RED, group="web", egress=(allow("lone"),)),
    "web names db no more": partial(remove_rules, owner=RED, group="web", ingress=(allow("db"),)),
    "delete db with everything": partial(delete_security_group, owner=RED, group="db", cascade=True),
    "delete web with everything": partial(delete_security_group, owner=RED, group="web", cascade=True),
    "delete lone": partial(delete_security_group, owner=RED, group="lone", cascade=False),
    "make db again": delete_group_and_make_it_again,
    "delete the SNAT": partial(delete_snat, owner=RED),
    "delete the DNAT": partial(delete_dnat, owner=RED, external_ip=OUTSIDE, external_port=80, protocol=Protocol.TCP),
    "forward to r": forward(RED, OUTSIDE, 81, R),
    "forward to q from .3": forward(RED, OTHER_OUTSIDE, 80, Q),
    "blue SNAT": partial(create_snat, owner=BLUE, external_ip=None),
    "blue SNAT at .3": partial(create_snat, owner=BLUE, external_ip=OTHER_OUTSIDE),
    "delete red": partial(delete_vpc, owner=RED, cascade=True),
    "delete blue": partial(delete_vpc, owner=BLUE, cascade=True),
    "delete bare grey": partial(delete_vpc, owner=GREY, cascade=False),
    "first port of grey": partial(create_port, owner=GREY),
    "grey SNAT": partial(create_snat, owner=GREY, external_ip=None),
    "grey group": partial(create_security_group, owner=GREY, name="g"),
    "grey subnet": partial(create_subnet, owner=GREY, name="s", cidr=None, dhcp_enabled=True),
    "make red again": delete_vpc_and_make_it_again,
    "create green": partial(create_vpc, owner=GREEN, name="", cidr=None),
}


async def populate(network: Network) -> None:
    for owner in (RED, BLUE, GREY):
        await create_vpc(network, owner=owner, name="main", cidr=RANGE)
    await subnet("data", "10.1.1.0/24")(network)
    await subnet("empty", "10.1.2.0/24")(network)
    await create_security_group(network, owner=RED, name="db")
    await create_security_group(network, owner=RED, name="lone")
    await create_security_group(network, owner=RED, name="web", ingress=(allow("db"),))
    await create_port(network, owner=RED, name="p", vm="vm0", address=P, groups=("web", "default"))
    await create_port(network, owner=RED, name="q", subnet="data", address=Q, groups=("db",))
    await create_port(network, owner=RED, name="r", address=R)
    await create_port(network, owner=BLUE, name="b")
    await plug_port(network, owner=RED, port="q", netns="n0")
    await create_snat(network, owner=RED, external_ip=OUTSIDE)
    await forward(RED, OUTSIDE, 80, P)(network)


class World:
    """Two servers over one store; `there` is the one whose commits are intercepted."""

    def __init__(self, store: Store, intercepted: Intercepted, here: Network, there: Network) -> None:
        self.store = store
        self.intercepted = intercepted
        self.here = here
        self.there = there
        self.start: tuple[Record, ...] = ()

    async def settle(self) -> None:
        newest = (await self.store.range("")).revision
        for network in (self.here, self.there):
            assert await network.view.wait_for(newest)

    async def reset(self) -> None:
        """As populated, and both servers have MACs to give in red and blue."""
        there_now = await content(self.store)
        await self.store.commit(Transaction((), tuple(Remove(record.key) for record in there_now)))
        await self.store.commit(Transaction((), tuple(Put(record.key, record.value) for record in self.start)))
        await self.settle()
        for network in (self.here, self.there):
            await network.choices.reserve_macs(RED)
            await network.choices.reserve_macs(BLUE)
        await self.settle()


async def world_at(directory: Path, stack: AsyncExitStack) -> World:
    store = await SqliteStore.open(directory / "weft.db")
    stack.push_async_callback(store.close)
    intercepted = Intercepted(store)
    here = await stack.enter_async_context(network_on(store))
    there = await stack.enter_async_context(network_on(intercepted))
    world = World(store, intercepted, here, there)
    await populate(here)
    world.start = await content(store)
    return world


async def outcome(call: Coroutine[Any, Any, object]) -> str:
    try:
        async with asyncio.timeout(20):
            await call
    except Refusal as refusal:
        return refusal.code
    return "ok"


def check_nothing_is_doubled(network: Network) -> None:
    for project in network.view.intent.values():
        ports = project.ports.values()
        assert len({one.mac for one in ports}) == len({one.addresses for one in ports}) == len(ports)
        ranges = [one.cidr for one in project.subnets.values()]
        assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)
        assert len({one.vlan for one in project.subnets.values()}) == len(ranges)
    places = [one.attachment for project in network.view.intent.values() for one in project.ports.values()]
    plugged = [one for one in places if one and one.netns]
    assert len(set(plugged)) == len(plugged)


@pytest.mark.parametrize("decided", CALLS)
async def test_whatever_happens_between_deciding_and_committing(tmp_path: Path, decided: str) -> None:
    async with AsyncExitStack() as stack:
        world = await world_at(tmp_path, stack)
        for between, call in CALLS.items():
            await world.reset()
            world.intercepted.first = partial(outcome, call(world.here))
            result = await outcome(CALLS[decided](world.there))
            if world.intercepted.first is not None:
                # It was refused at once: then the other call comes alone.
                await world.intercepted.first()
                world.intercepted.first = None
            await world.settle()

            told = f"{decided!r} came to {result} with {between!r} in between"
            assert result != "TOO_MANY_CONFLICTS", told
            assert await leaks(world.store) == (), told
            check_nothing_is_doubled(world.here)
            assert world.here.view.intent == world.there.view.intent, told


async def test_a_mac_that_another_server_gave_is_not_given_again_after_its_port(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        world = await world_at(tmp_path, stack)
        given: list[str] = []

        async def come_and_go() -> None:
            port = (await create_port(world.here, owner=GREY)).value
            given.append(port.mac)
            await delete_port(world.here, owner=GREY, port=port.id, cascade=False)

        world.intercepted.first = come_and_go
        port = (await create_port(world.there, owner=GREY)).value

        assert given and port.mac not in given
