from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
import pytest_asyncio

from weftwork.actions.network import Network
from weftwork.actions.ports import create_port
from weftwork.actions.reads import get_port, get_security_group, list_security_groups
from weftwork.actions.security_groups import (
    add_rules,
    create_security_group,
    delete_security_group,
    remove_rules,
    update_security_group,
)
from weftwork.actions.vpcs import create_vpc
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.testing.network_kit import BLUE, RED, leaks, refused

EVERYWHERE = ip_network("0.0.0.0/0")
WEB = Rule(Protocol.TCP, PortRange(80, 80), EVERYWHERE)
PING = Rule(Protocol.ICMP, None, EVERYWHERE)


def from_group(name: str) -> Rule:
    return Rule(Protocol.ALL, None, GroupRef(name))


@pytest_asyncio.fixture(autouse=True)
async def two_vpcs(network: Network) -> AsyncIterator[None]:
    for owner in (RED, BLUE):
        await create_vpc(network, owner=owner, name="main", cidr=None)
    yield
    assert await leaks(network.store) == ()


async def test_rules_are_kept_once_and_groups_by_name(network: Network) -> None:
    made = await create_security_group(
        network, owner=RED, name="web", ingress=(WEB, PING, WEB, from_group("red/web/default"), from_group("web"))
    )

    assert made.value.ingress == (WEB, PING, from_group("default"), from_group("web"))
    assert made.value.egress == ()


async def test_creating_it_again_gives_the_one_that_is_there(network: Network) -> None:
    first = await create_security_group(network, owner=RED, name="web", description="the web", ingress=(WEB, PING))

    assert await create_security_group(network, owner=RED, name="web") == first
    assert await create_security_group(network, owner=RED, name="web", ingress=(PING, WEB)) == first
    async with refused(network, "SECURITY_GROUP_ALREADY_EXISTS", "ingress", "description"):
        await create_security_group(network, owner=RED, name="web", description="x", ingress=(WEB,))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (Rule(Protocol.TCP, PortRange(80, 79), EVERYWHERE), "INVALID_PORT_RANGE"),
        (Rule(Protocol.UDP, PortRange(0, 65536), EVERYWHERE), "INVALID_PORT_RANGE"),
        (Rule(Protocol.TCP, PortRange(-1, 1), EVERYWHERE), "INVALID_PORT_RANGE"),
        (Rule(Protocol.ICMP, PortRange(8, 8), EVERYWHERE), "INVALID_PORT_RANGE"),
        (Rule(Protocol.ALL, PortRange(0, 65535), EVERYWHERE), "INVALID_PORT_RANGE"),
        (Rule(Protocol.TCP, None, ip_network("::/0")), "IPV6_NOT_SUPPORTED"),
        (from_group("absent"), "SECURITY_GROUP_NOT_FOUND"),
        (from_group("blue/web/default"), "SECURITY_GROUP_NOT_FOUND"),
        (from_group(""), "SECURITY_GROUP_NOT_FOUND"),
    ],
)
async def test_rules_that_no_group_can_have(network: Network, rule: Rule, code: str) -> None:
    await create_security_group(network, owner=RED, name="g")
    async with refused(network, code):
        await create_security_group(network, owner=RED, name="web", ingress=(rule,))
    async with refused(network, code):
        await add_rules(network, owner=RED, group="g", egress=(rule,))
    async with refused(network, code):
        await update_security_group(network, owner=RED, group="g", ingress=(WEB, rule))


async def test_at_most_two_hundred_rules_in_a_direction(network: Network) -> None:
    many = tuple(Rule(Protocol.TCP, PortRange(number, number), EVERYWHERE) for number in range(201))
    made = await create_security_group(network, owner=RED, name="web", ingress=many[:200], egress=many[1:])
    assert len(made.value.ingress) == len(made.value.egress) == 200

    async with refused(network, "TOO_MANY_RULES", "201"):
        await add_rules(network, owner=RED, group="web", ingress=many)


@pytest.mark.parametrize(
    ("description", "code"),
    [("x" * 1025, "FIELD_TOO_LONG"), ("\0", "INVALID_ARGUMENT"), ("\ud800", "INVALID_ARGUMENT")],
)
async def test_bad_descriptions(network: Network, description: str, code: str) -> None:
    async with refused(network, code):
        await create_security_group(network, owner=RED, name="web", description=description)
    async with refused(network, code):
        await update_security_group(network, owner=RED, group="default", description=description)


async def test_an_update_replaces_what_is_given_and_nothing_else(network: Network) -> None:
    first = await create_security_group(
        network, owner=RED, name="web", description="old", ingress=(WEB,), egress=(PING,)
    )
    second = await update_security_group(network, owner=RED, group="web", ingress=(PING,), if_revision=first.revision)

    assert (second.value.description, second.value.ingress, second.value.egress) == ("old", (PING,), (PING,))
    assert second.revision > first.revision
    async with refused(network, "REVISION_CHANGED", str(second.revision)):
        await update_security_group(network, owner=RED, group="web", ingress=(), if_revision=first.revision)
    emptied = await update_security_group(network, owner=RED, group="web", description="", ingress=(), egress=())
    assert (emptied.value.description, emptied.value.ingress, emptied.value.egress) == ("", (), ())


async def test_adding_and_removing_rules(network: Network) -> None:
    await create_security_group(network, owner=RED, name="web", ingress=(WEB,))
    added = await add_rules(network, owner=RED, group="web", ingress=(PING, WEB), egress=(PING,))
    assert (added.value.ingress, added.value.egress) == ((WEB, PING), (PING,))
    assert await add_rules(network, owner=RED, group="web", ingress=(PING,)) == added

    removed = await remove_rules(network, owner=RED, group="web", ingress=(WEB,), egress=(PING,))
    assert (removed.value.ingress, removed.value.egress) == ((PING,), ())
    async with refused(network, "RULE_NOT_FOUND", "tcp 80 from 0.0.0.0/0"):
        await remove_rules(network, owner=RED, group="web", ingress=(WEB,))


async def test_a_group_in_use_says_by_what_and_is_taken_out_when_asked(network: Network) -> None:
    await create_security_group(network, owner=RED, name="db", ingress=(from_group("db"), from_group("default")))
    await create_security_group(network, owner=RED, name="web", egress=(from_group("db"), PING))
    await create_port(network, owner=RED, name="a", groups=("db", "default"))

    async with refused(network, "IN_USE", "port a", "security group web"):
        await delete_security_group(network, owner=RED, group="db", cascade=False)
    await delete_security_group(network, owner=RED, group="db", cascade=True)

    assert (await get_port(network, owner=RED, port="a")).value.groups == ("default",)
    assert (await get_security_group(network, owner=RED, group="web")).value.egress == (PING,)
    assert [one.value.name for one in (await list_security_groups(network, owner=RED)).items] == ["default", "web"]


async def test_a_group_that_only_names_itself_is_not_in_use(network: Network) -> None:
    await create_security_group(network, owner=RED, name="db", ingress=(from_group("db"),))
    await delete_security_group(network, owner=RED, group="red/web/db", cascade=False)

    async with refused(network, "SECURITY_GROUP_NOT_FOUND"):
        await get_security_group(network, owner=RED, group="db")


async def test_the_default_group_goes_with_its_vpc_only(network: Network) -> None:
    async with refused(network, "SECURITY_GROUP_REQUIRED"):
        await delete_security_group(network, owner=RED, group="default", cascade=True)


async def test_another_tenants_group_is_not_found(network: Network) -> None:
    await create_security_group(network, owner=BLUE, name="secret")
    for text in ("secret", "blue/web/secret", "blue/web/default"):
        async with refused(network, "SECURITY_GROUP_NOT_FOUND"):
            await get_security_group(network, owner=RED, group=text)
        async with refused(network, "SECURITY_GROUP_NOT_FOUND"):
            await delete_security_group(network, owner=RED, group=text, cascade=True)
