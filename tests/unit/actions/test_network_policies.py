"""Network policies: rules in their order, and whatever they name is kept for them."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Network, IPv6Network

import pytest
import pytest_asyncio

from weftwork.actions.network import Network, Stored
from weftwork.actions.network_policies import (
    POLICIES_MAX,
    RULES_MAX,
    add_policy_rules,
    create_network_policy,
    delete_network_policy,
    get_network_policy,
    list_network_policies,
    remove_policy_rules,
    update_network_policy,
)
from weftwork.actions.ports import create_port
from weftwork.actions.security_groups import create_security_group, delete_security_group
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, PortRange, Protocol
from weftwork.testing.network_kit import BLUE, RED, leaks, refused

ANYWHERE = IPv4Network("0.0.0.0/0")
NO_SSH = PolicyRule(Action.DENY, Protocol.TCP, PortRange(22, 22), ANYWHERE)
FROM_WEB = PolicyRule(Action.ALLOW, Protocol.ALL, None, GroupRef("web"))
FROM_DATA = PolicyRule(Action.ALLOW, Protocol.ALL, None, SubnetRef("data"))


@pytest_asyncio.fixture(autouse=True)
async def two_vpcs(network: Network) -> AsyncIterator[None]:
    for owner in (RED, BLUE):
        await create_vpc(network, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/16"))
        await create_subnet(network, owner=owner, name="data", cidr=IPv4Network("10.1.7.0/24"), dhcp_enabled=True)
        await create_security_group(network, owner=owner, name="web")
    yield
    assert await leaks(network.store) == ()


async def made(
    network: Network,
    name: str,
    *rules: PolicyRule,
    kind: PolicyKind = PolicyKind.INGRESS,
    subnet: str = "",
    priority: int = 100,
) -> Stored[NetworkPolicy]:
    return await create_network_policy(
        network, owner=RED, name=name, kind=kind, subnet=subnet, priority=priority, rules=rules
    )


async def test_rules_keep_their_order_and_stand_once_with_names_for_ids(network: Network) -> None:
    by_id = PolicyRule(Action.ALLOW, Protocol.ALL, None, GroupRef("web", RED))
    subnet_by_id = PolicyRule(Action.ALLOW, Protocol.ALL, None, SubnetRef("red/web/data"))
    policy = await made(network, "p", NO_SSH, by_id, NO_SSH, subnet_by_id, subnet="red/web/data")

    assert policy.value.rules == (NO_SSH, FROM_WEB, FROM_DATA)
    assert policy.value.subnet == "data"
    assert await get_network_policy(network, owner=RED, policy="red/web/p") == policy
    assert (await list_network_policies(network, owner=RED)).items == (policy,)
    assert (await list_network_policies(network, owner=BLUE)).items == ()


async def test_creating_it_again_gives_the_one_that_is_there_and_another_is_refused(network: Network) -> None:
    first = await made(network, "p", NO_SSH, FROM_WEB)

    assert await made(network, "p", NO_SSH, FROM_WEB) == first
    async with refused(network, "NETWORK_POLICY_ALREADY_EXISTS", "rules"):
        await made(network, "p", FROM_WEB, NO_SSH)
    async with refused(network, "NETWORK_POLICY_ALREADY_EXISTS", "priority", "ingress", "target"):
        await made(network, "p", NO_SSH, FROM_WEB, kind=PolicyKind.EGRESS, priority=7, subnet="data")


@pytest.mark.parametrize("priority", [0, 65536, -1])
async def test_a_priority_out_of_range_is_refused(network: Network, priority: int) -> None:
    async with refused(network, "INVALID_PRIORITY", str(priority)):
        await made(network, "p", priority=priority)
    await made(network, "p")
    async with refused(network, "INVALID_PRIORITY", str(priority)):
        await update_network_policy(network, owner=RED, policy="p", priority=priority)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (PolicyRule(Action.DENY, Protocol.TCP, PortRange(80, 79), ANYWHERE), "INVALID_PORT_RANGE"),
        (PolicyRule(Action.DENY, Protocol.ICMP, PortRange(1, 2), ANYWHERE), "INVALID_PORT_RANGE"),
        (PolicyRule(Action.DENY, Protocol.ALL, None, IPv6Network("fd00::/8")), "IPV6_NOT_SUPPORTED"),
        (PolicyRule(Action.DENY, Protocol.ALL, None, GroupRef("nobody")), "SECURITY_GROUP_NOT_FOUND"),
        (PolicyRule(Action.DENY, Protocol.ALL, None, GroupRef("web", BLUE)), "SECURITY_GROUP_NOT_FOUND"),
        (PolicyRule(Action.DENY, Protocol.ALL, None, SubnetRef("nowhere")), "SUBNET_NOT_FOUND"),
        (PolicyRule(Action.DENY, Protocol.ALL, None, SubnetRef("blue/web/data")), "SUBNET_NOT_FOUND"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused_wherever_it_comes(
    network: Network, rule: PolicyRule, code: str
) -> None:
    async with refused(network, code):
        await made(network, "p", rule)
    await made(network, "p")
    async with refused(network, code):
        await update_network_policy(network, owner=RED, policy="p", rules=(rule,))
    async with refused(network, code):
        await add_policy_rules(network, owner=RED, policy="p", rules=(rule,))


async def test_an_isolation_allows_and_never_denies(network: Network) -> None:
    async with refused(network, "INVALID_ACTION"):
        await made(network, "apart", NO_SSH, kind=PolicyKind.ISOLATION)
    await made(network, "apart", FROM_WEB, kind=PolicyKind.ISOLATION)
    async with refused(network, "INVALID_ACTION"):
        await add_policy_rules(network, owner=RED, policy="apart", rules=(NO_SSH,))


async def test_what_is_not_there_is_not_found(network: Network) -> None:
    async with refused(network, "SUBNET_NOT_FOUND"):
        await made(network, "p", subnet="nowhere")
    async with refused(network, "INVALID_NAME"):
        await made(network, "P!")
    async with refused(network, "NETWORK_POLICY_NOT_FOUND"):
        await delete_network_policy(network, owner=RED, policy="p")
    await made(network, "p")
    async with refused(network, "NETWORK_POLICY_NOT_FOUND"):
        await get_network_policy(network, owner=BLUE, policy="red/web/p")


async def test_rules_are_added_where_asked_and_taken_away_by_their_words(network: Network) -> None:
    await made(network, "p", NO_SSH)
    await add_policy_rules(network, owner=RED, policy="p", rules=(FROM_DATA,))
    first = await add_policy_rules(network, owner=RED, policy="p", rules=(FROM_WEB, NO_SSH), position=1)
    assert first.value.rules == (FROM_WEB, NO_SSH, FROM_DATA)

    left = await remove_policy_rules(network, owner=RED, policy="p", rules=(NO_SSH,))
    assert left.value.rules == (FROM_WEB, FROM_DATA)
    async with refused(network, "RULE_NOT_FOUND", "deny tcp 22 from 0.0.0.0/0"):
        await remove_policy_rules(network, owner=RED, policy="p", rules=(NO_SSH,))


async def test_an_update_replaces_what_is_given_at_the_revision_that_is_asked_for(network: Network) -> None:
    first = await made(network, "p", NO_SSH)
    moved = await update_network_policy(network, owner=RED, policy="p", priority=7, if_revision=first.revision)
    assert (moved.value.priority, moved.value.rules) == (7, (NO_SSH,))
    async with refused(network, "REVISION_CHANGED"):
        await update_network_policy(network, owner=RED, policy="p", rules=(), if_revision=first.revision)
    emptied = await update_network_policy(network, owner=RED, policy="p", rules=())
    assert (emptied.value.priority, emptied.value.rules) == (7, ())


async def test_there_are_so_many_rules_and_policies_and_no_more(network: Network) -> None:
    many = tuple(PolicyRule(Action.DENY, Protocol.TCP, PortRange(n, n), ANYWHERE) for n in range(RULES_MAX + 1))
    async with refused(network, "TOO_MANY_RULES"):
        await made(network, "p", *many)
    for number in range(POLICIES_MAX):
        await made(network, f"p{number}")
    async with refused(network, "TOO_MANY_POLICIES"):
        await made(network, "one-more")


async def test_a_group_that_a_policy_names_goes_with_that_or_not_at_all(network: Network) -> None:
    await made(network, "p", NO_SSH, FROM_WEB)

    async with refused(network, "IN_USE", "network policy p"):
        await delete_security_group(network, owner=RED, group="web", cascade=False)
    await delete_security_group(network, owner=RED, group="web", cascade=True)

    assert network.view.intent[RED].policies["p"].rules == (NO_SSH,)


async def test_a_subnet_goes_with_its_own_policies_and_from_the_rules_of_others(network: Network) -> None:
    await made(network, "its-own", NO_SSH, subnet="data")
    await made(network, "naming", FROM_DATA, NO_SSH)
    await create_port(network, owner=RED, name="a", subnet="data")

    async with refused(network, "IN_USE", "network policy its-own", "network policy naming"):
        await delete_subnet(network, owner=RED, subnet="data", cascade=False)
    await delete_subnet(network, owner=RED, subnet="data", cascade=True)

    assert {name: one.rules for name, one in network.view.intent[RED].policies.items()} == {"naming": (NO_SSH,)}


async def test_a_vpc_with_a_policy_is_in_use_and_a_cascade_takes_it(network: Network) -> None:
    await made(network, "p", FROM_WEB, subnet="data")
    async with refused(network, "IN_USE", "network policy p"):
        await delete_vpc(network, owner=RED, cascade=False)
    await delete_vpc(network, owner=RED, cascade=True)
    assert RED not in network.view.intent


async def test_a_policy_that_is_gone_keeps_nothing(network: Network) -> None:
    await made(network, "p", FROM_WEB, FROM_DATA, subnet="data")
    await delete_network_policy(network, owner=RED, policy="p")
    await delete_security_group(network, owner=RED, group="web", cascade=False)
    await delete_subnet(network, owner=RED, subnet="data", cascade=False)
