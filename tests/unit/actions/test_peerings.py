"""Two halves make a peering; and what one project learns of another before that is nothing."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Network

import pytest
import pytest_asyncio

from weftwork.actions.network import Network
from weftwork.actions.peerings import (
    PEERINGS_MAX,
    Offer,
    create_peering,
    delete_peering,
    get_peering,
    list_offers,
    list_peerings,
    peer_range,
)
from weftwork.actions.security_groups import add_rules, create_security_group
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import is_peered
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.testing.network_kit import BLUE, RED, leaks, refused

GREEN, NOBODY = ProjectKey("green", "net"), ProjectKey("ghost", "net")
RANGES = {RED: "10.1.0.0/16", BLUE: "10.2.0.0/16", GREEN: "10.2.128.0/17"}


@pytest_asyncio.fixture(autouse=True)
async def three_vpcs(network: Network) -> AsyncIterator[None]:
    """Blue's and green's ranges overlap."""
    for owner, cidr in RANGES.items():
        await create_vpc(network, owner=owner, name="main", cidr=IPv4Network(cidr))
    yield
    assert await leaks(network.store) == ()


async def peer(network: Network, one: ProjectKey, other: ProjectKey, name: str = "") -> None:
    await create_peering(network, owner=one, name=name, peer=other)


def from_group_of(owner: ProjectKey, name: str = "web") -> Rule:
    return Rule(Protocol.ALL, None, GroupRef(name, owner))


async def test_a_peering_is_active_with_both_halves_and_only_then(network: Network) -> None:
    first = await create_peering(network, owner=RED, name="to-blue", peer=BLUE)
    assert peer_range(network, first.value) is None
    assert not is_peered(network.view.intent, RED, BLUE)

    second = await create_peering(network, owner=BLUE, name="", peer=RED)
    assert second.value.name == RED.project
    assert (str(peer_range(network, first.value)), str(peer_range(network, second.value))) == (
        RANGES[BLUE],
        RANGES[RED],
    )

    await delete_peering(network, owner=RED, peering="to-blue", cascade=False)
    assert peer_range(network, second.value) is None
    assert not is_peered(network.view.intent, BLUE, RED)


async def test_an_offer_says_nothing_about_who_it_is_for(network: Network) -> None:
    """Towards a VPC that overlaps, one that does not exist, and one that could be accepted: the same answers."""
    green = ProjectKey("green", "other")
    await create_vpc(network, owner=green, name="main", cidr=IPv4Network("10.2.0.0/16"))
    seen = set()
    for owner in (BLUE, NOBODY, RED, ProjectKey("rival", "net")):
        half = (await create_peering(network, owner=green, name="x", peer=owner)).value
        answers = [half.name, half.owner, half.created_at, peer_range(network, half)]
        async with refused(network, "PEERING_ALREADY_EXISTS", str(owner)):
            await create_peering(network, owner=green, name="y", peer=owner)
        await create_security_group(network, owner=green, name="g", ingress=(from_group_of(owner),))
        with pytest.raises(Refusal) as refusal:
            await delete_peering(network, owner=green, peering="x", cascade=False)
        answers.append(str(refusal.value))
        await delete_peering(network, owner=green, peering="x", cascade=True)
        await delete_vpc(network, owner=green, cascade=True)
        await create_vpc(network, owner=green, name="main", cidr=IPv4Network("10.2.0.0/16"))
        seen.add(tuple(map(str, answers)))
    assert len(seen) == 1


async def test_the_invited_project_sees_offers_and_nobody_else_does(network: Network) -> None:
    await peer(network, RED, BLUE)
    await peer(network, RED, NOBODY)

    (offer,) = (await list_offers(network, owner=BLUE)).items
    assert (offer.value.by, str(offer.value.cidr), offer.value.is_accepted) == (RED, RANGES[RED], False)
    assert (await list_offers(network, owner=GREEN)).items == ()
    assert (await list_offers(network, owner=RED)).items == ()
    await peer(network, BLUE, RED)
    (accepted,) = (await list_offers(network, owner=BLUE)).items
    assert isinstance(accepted.value, Offer) and accepted.value.is_accepted


async def test_who_accepts_learns_of_an_overlap_and_who_offers_does_not(network: Network) -> None:
    await peer(network, BLUE, GREEN)
    async with refused(network, "CIDR_OVERLAP", RANGES[BLUE], RANGES[GREEN]):
        await peer(network, GREEN, BLUE)


async def test_no_vpc_routes_one_address_to_two_peers(network: Network) -> None:
    await peer(network, RED, BLUE)
    await peer(network, BLUE, RED)

    await peer(network, GREEN, RED)
    async with refused(network, "CIDR_OVERLAP", RANGES[BLUE], str(BLUE)):
        await peer(network, RED, GREEN)
    await delete_peering(network, owner=GREEN, peering=str(RED), cascade=False)

    await peer(network, RED, GREEN)
    with pytest.raises(Refusal) as refusal:
        await peer(network, GREEN, RED)
    assert refusal.value.code == "CIDR_OVERLAP"
    assert "blue" not in str(refusal.value), "whom red is peered with is red's business"


async def test_of_two_halves_at_the_same_time_one_is_checked(network: Network) -> None:
    both = await asyncio.gather(peer(network, BLUE, GREEN), peer(network, GREEN, BLUE), return_exceptions=True)

    (refusal,) = [one for one in both if one is not None]
    assert isinstance(refusal, Refusal) and refusal.code == "CIDR_OVERLAP"
    assert not is_peered(network.view.intent, BLUE, GREEN)


async def test_of_two_acceptances_at_the_same_time_one_is_refused(network: Network) -> None:
    await peer(network, RED, BLUE)
    await peer(network, RED, GREEN)

    both = await asyncio.gather(peer(network, BLUE, RED), peer(network, GREEN, RED), return_exceptions=True)

    (refusal,) = [one for one in both if one is not None]
    assert isinstance(refusal, Refusal) and refusal.code == "CIDR_OVERLAP"


async def test_a_half_is_found_by_name_id_and_peer(network: Network) -> None:
    made = await create_peering(network, owner=RED, name="b", peer=BLUE)

    for text in ("b", f"{RED}/b", str(BLUE)):
        assert await get_peering(network, owner=RED, peering=text) == made
    assert [one.value for one in (await list_peerings(network, owner=RED)).items] == [made.value]
    async with refused(network, "PEERING_NOT_FOUND", "green/net"):
        await get_peering(network, owner=RED, peering="green/net")


async def test_asking_again_changes_nothing(network: Network) -> None:
    made = await create_peering(network, owner=RED, name="b", peer=BLUE)

    assert await create_peering(network, owner=RED, name="b", peer=BLUE) == made
    assert await create_peering(network, owner=RED, name="", peer=BLUE) == made
    async with refused(network, "PEERING_ALREADY_EXISTS", str(BLUE)):
        await create_peering(network, owner=RED, name="b", peer=GREEN)
    async with refused(network, "INVALID_PEER"):
        await create_peering(network, owner=RED, name="", peer=RED)
    async with refused(network, "VPC_NOT_FOUND"):
        await create_peering(network, owner=NOBODY, name="", peer=RED)


async def test_a_project_has_so_many_halves_and_no_more(network: Network) -> None:
    for number in range(PEERINGS_MAX):
        await peer(network, RED, ProjectKey("ghost", f"p{number}"))
    async with refused(network, "TOO_MANY_PEERINGS"):
        await peer(network, RED, BLUE)


async def test_rules_name_groups_of_peers_only_with_a_half_towards_them(network: Network) -> None:
    rules = (from_group_of(BLUE),)
    async with refused(network, "PEERING_NOT_FOUND", str(BLUE)):
        await create_security_group(network, owner=RED, name="g", ingress=rules)
    await create_security_group(network, owner=RED, name="g")
    async with refused(network, "PEERING_NOT_FOUND", str(BLUE)):
        await add_rules(network, owner=RED, group="g", egress=rules)

    await peer(network, RED, BLUE)
    changed = await add_rules(network, owner=RED, group="g", egress=rules)

    assert changed.value.egress == rules, "whether blue has such a group is not asked"


async def test_a_half_that_rules_need_goes_with_them_or_not_at_all(network: Network) -> None:
    await peer(network, RED, BLUE)
    own = Rule(Protocol.ALL, None, GroupRef("default"))
    await create_security_group(network, owner=RED, name="g", ingress=(own, from_group_of(BLUE)))

    async with refused(network, "IN_USE", "security group g"):
        await delete_peering(network, owner=RED, peering=str(BLUE), cascade=False)
    await delete_peering(network, owner=RED, peering=str(BLUE), cascade=True)

    assert network.view.intent[RED].groups["g"].ingress == (own,)


async def test_a_vpc_with_a_half_is_in_use_and_a_cascade_takes_its_own_half_only(network: Network) -> None:
    await peer(network, RED, BLUE)
    await peer(network, BLUE, RED)

    async with refused(network, "IN_USE", "peering"):
        await delete_vpc(network, owner=RED, cascade=False)
    await delete_vpc(network, owner=RED, cascade=True)

    (left,) = network.view.intent[BLUE].peerings.values()
    assert peer_range(network, left) is None
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.2.0.0/16"))
    assert peer_range(network, left) is None, "another VPC needs another half"
