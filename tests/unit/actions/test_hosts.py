import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import pytest_asyncio

from weftwork.actions.hosts import (
    TOKEN_LIFETIME_S,
    add_host,
    drain_host,
    get_host,
    join_host,
    list_hosts,
    note_facts,
    remove_host,
)
from weftwork.actions.network import Network
from weftwork.actions.peerings import create_peering
from weftwork.actions.ports import create_port, plug_port, unplug_port
from weftwork.actions.subnets import create_subnet
from weftwork.actions.vpcs import create_vpc
from weftwork.base.errors import Refusal
from weftwork.model.host import HostFacts, Role
from weftwork.model.keys import ThingKey
from weftwork.model.port import Attachment, AttachmentKind
from weftwork.model.subnet import Subnet
from weftwork.testing.network_kit import BLUE, RED, SETTINGS, HandClock, content, leaks, network_at, network_on, refused

H1, H2 = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Network]:
    async with network_at(tmp_path, replace(SETTINGS, has_fleet=True)) as network:
        await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/16"))
        yield network
        assert await leaks(network.store) == ()


async def test_a_token_lets_one_agent_join_and_nobody_else(fleet: Network) -> None:
    _, token = await add_host(fleet, name="h1", underlay=H1)

    joined = await join_host(fleet, token=token)

    assert joined.name == "h1" and joined.identity
    async with refused(fleet, "JOIN_REFUSED"):
        await join_host(fleet, token=token)


async def test_two_that_come_with_one_token_at_the_same_time_do_not_both_join(fleet: Network) -> None:
    _, token = await add_host(fleet, name="h1", underlay=H1)

    answers = await asyncio.gather(*(join_host(fleet, token=token) for _ in range(4)), return_exceptions=True)

    assert sorted(type(one).__name__ for one in answers) == ["Host", "Refusal", "Refusal", "Refusal"]


async def test_a_token_is_worth_nothing_when_it_is_old_wrong_or_of_a_host_that_is_gone(fleet: Network) -> None:
    _, token = await add_host(fleet, name="h1", underlay=H1)
    assert isinstance(fleet.clock, HandClock)
    for wrong in ("", "weftjoin_h1_", "weftjoin_h1_guess", token + "x", token.replace("h1", "h2")):
        async with refused(fleet, "JOIN_REFUSED"):
            await join_host(fleet, token=wrong)

    fleet.clock.time_s += TOKEN_LIFETIME_S
    async with refused(fleet, "JOIN_REFUSED"):
        await join_host(fleet, token=token)

    _, fresh = await add_host(fleet, name="h1", underlay=None, again=True)
    await remove_host(fleet, name="h1")
    async with refused(fleet, "JOIN_REFUSED"):
        await join_host(fleet, token=fresh)


async def test_the_secret_of_a_token_is_not_in_the_store(fleet: Network) -> None:
    _, token = await add_host(fleet, name="h1", underlay=H1)

    secret = token.rpartition("_")[2].encode()

    assert all(secret not in record.value for record in await content(fleet.store))


async def test_a_host_that_joins_again_has_another_identity(fleet: Network) -> None:
    _, token = await add_host(fleet, name="h1", underlay=H1)
    first = await join_host(fleet, token=token)
    _, token = await add_host(fleet, name="h1", underlay=None, again=True)
    assert get_host(fleet, "h1").identity == first.identity

    second = await join_host(fleet, token=token)

    assert second.identity not in ("", first.identity)


async def test_names_and_underlay_addresses_are_one_hosts(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1, roles=frozenset({Role.ROUTE}), labels={"rack": "b2"})

    async with refused(fleet, "HOST_ALREADY_EXISTS", "h1"):
        await add_host(fleet, name="h1", underlay=H2)
    async with refused(fleet, "HOST_ALREADY_EXISTS", "192.0.2.1", "h1"):
        await add_host(fleet, name="h2", underlay=H1)
    async with refused(fleet, "HOST_NOT_FOUND"):
        await add_host(fleet, name="h2", underlay=None, again=True)
    async with refused(fleet, "MISSING_FIELD", "underlay"):
        await add_host(fleet, name="h2", underlay=None)
    (host,) = list_hosts(fleet)
    assert (host.roles, host.labels) == (frozenset({Role.ROUTE}), (("rack", "b2"),))


async def test_of_two_hosts_with_one_address_that_are_added_at_once_one_is_refused(fleet: Network) -> None:
    added = await asyncio.gather(
        *(add_host(fleet, name=name, underlay=H1) for name in ("h1", "h2")), return_exceptions=True
    )

    assert sum(isinstance(one, Refusal) for one in added) == 1
    assert len(list_hosts(fleet)) == 1


async def test_a_port_is_plugged_on_a_host_and_moves_to_another_one(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    await add_host(fleet, name="h2", underlay=H2)
    port = (await create_port(fleet, owner=RED, name="web")).value

    first = await plug_port(fleet, owner=RED, port="web", netns="web", host="h1")
    second = await plug_port(fleet, owner=RED, port="web", netns="web", host="h2")

    assert first.value.attachment == Attachment(AttachmentKind.NETNS, "web", "eth0", "h1")
    assert second.value == replace(port, attachment=Attachment(AttachmentKind.NETNS, "web", "eth0", "h2"))
    async with refused(fleet, "PORT_ALREADY_ATTACHED", "h2"):
        await plug_port(fleet, owner=RED, port="web", netns="other", host="h2")
    async with refused(fleet, "HOST_NOT_FOUND", "h3"):
        await plug_port(fleet, owner=RED, port="web", netns="web", host="h3")


async def test_one_name_of_a_namespace_is_free_on_each_host(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    await add_host(fleet, name="h2", underlay=H2)
    for name in ("one", "two", "three"):
        await create_port(fleet, owner=RED, name=name)

    await plug_port(fleet, owner=RED, port="one", netns="web", host="h1")
    await plug_port(fleet, owner=RED, port="two", netns="web", host="h2")

    async with refused(fleet, "INTERFACE_IN_USE"):
        await plug_port(fleet, owner=RED, port="three", netns="web", host="h2")


async def test_a_subnet_gets_its_name_on_the_wire_with_its_first_port_on_a_host_and_keeps_it(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    await create_subnet(fleet, owner=RED, name="back", cidr=None, dhcp_enabled=True)
    for name, subnet in (("one", "default"), ("two", "default"), ("three", "back")):
        await create_port(fleet, owner=RED, name=name, subnet=subnet)
    assert (_subnet(fleet, "default").vni, _subnet(fleet, "back").vni) == (0, 0)

    await plug_port(fleet, owner=RED, port="one", netns="one", host="h1")
    first = _subnet(fleet, "default").vni
    await plug_port(fleet, owner=RED, port="two", netns="two", host="h1")
    await plug_port(fleet, owner=RED, port="three", netns="three", host="h1")

    vpc = fleet.view.intent[RED].vpc
    assert vpc is not None
    again = await create_subnet(fleet, owner=RED, name="back", cidr=None, dhcp_enabled=True)
    assert again.value == _subnet(fleet, "back")
    assert _subnet(fleet, "default").vni == first
    assert len({first, _subnet(fleet, "back").vni, vpc.vni}) == 3


async def test_a_host_that_is_drained_gets_no_port_and_keeps_those_it_has(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    for name in ("one", "two"):
        await create_port(fleet, owner=RED, name=name)
    await plug_port(fleet, owner=RED, port="one", netns="one", host="h1")

    await drain_host(fleet, name="h1")

    async with refused(fleet, "HOST_DRAINING"):
        await plug_port(fleet, owner=RED, port="two", netns="two", host="h1")
    async with refused(fleet, "HOST_IN_USE", "red/web/one"):
        await remove_host(fleet, name="h1")
    await drain_host(fleet, name="h1", undo=True)
    await plug_port(fleet, owner=RED, port="two", netns="two", host="h1")


async def test_a_host_without_ports_can_be_removed(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    await create_port(fleet, owner=RED, name="one")
    await plug_port(fleet, owner=RED, port="one", netns="one", host="h1")
    await unplug_port(fleet, owner=RED, port="one")

    await remove_host(fleet, name="h1")

    assert list_hosts(fleet) == []
    async with refused(fleet, "HOST_NOT_FOUND"):
        await remove_host(fleet, name="h1")


@pytest.mark.parametrize("first", ["plug", "remove"])
async def test_a_port_and_the_removal_of_its_host_do_not_both_come_through(fleet: Network, first: str) -> None:
    """On two servers at the same time."""
    await add_host(fleet, name="h1", underlay=H1)
    await create_port(fleet, owner=RED, name="one")
    async with network_on(fleet.store, replace(SETTINGS, has_fleet=True)) as other:
        calls = [
            plug_port(fleet, owner=RED, port="one", netns="one", host="h1"),
            remove_host(other, name="h1"),
        ]
        answers = await asyncio.gather(*(calls if first == "plug" else reversed(calls)), return_exceptions=True)

        refusals = [one for one in answers if isinstance(one, Refusal)]
        assert [one.code for one in refusals] in (["HOST_NOT_FOUND"], ["HOST_IN_USE"])


async def test_what_is_not_carried_across_hosts_is_refused_from_either_side(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    await create_vpc(fleet, owner=BLUE, name="main", cidr=IPv4Network("10.2.0.0/16"))
    for owner in (RED, BLUE):
        await create_port(fleet, owner=owner, name="one")
    await create_peering(fleet, owner=RED, name="", peer=BLUE)

    async with refused(fleet, "BACKEND_UNSUPPORTED", "peerings"):
        await plug_port(fleet, owner=RED, port="one", netns="one", host="h1")
    await plug_port(fleet, owner=BLUE, port="one", netns="one", host="h1")
    async with refused(fleet, "BACKEND_UNSUPPORTED", "hosts"):
        await create_peering(fleet, owner=BLUE, name="", peer=RED)


async def test_what_an_agent_found_is_kept_and_noted_once(fleet: Network) -> None:
    await add_host(fleet, name="h1", underlay=H1)
    facts = HostFacts("6.18.44", ("br_netfilter",), True, True)

    await note_facts(fleet, name="h1", facts=facts)
    before = await content(fleet.store)
    await note_facts(fleet, name="h1", facts=facts)

    assert get_host(fleet, "h1").facts == facts
    assert await content(fleet.store) == before


async def test_a_server_of_one_machine_has_no_hosts(network: Network) -> None:
    async with refused(network, "NO_FLEET"):
        await add_host(network, name="h1", underlay=H1)
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/16"))
    await create_port(network, owner=RED, name="one")
    async with refused(network, "NO_FLEET"):
        await plug_port(network, owner=RED, port="one", netns="one", host="h1")


def _subnet(network: Network, name: str) -> Subnet:
    found = network.view.find(ThingKey("subnet", RED, name))
    assert isinstance(found, Subnet)
    return found
