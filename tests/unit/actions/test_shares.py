"""A subnet that another project may have ports in; and what each of the two learns of the other."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network

import pytest
import pytest_asyncio

from weftwork.actions.explain import explain_flow
from weftwork.actions.nat import create_dnat
from weftwork.actions.network import Network
from weftwork.actions.ports import attach_port, create_port, delete_port
from weftwork.actions.reach_tests import Wanted, create_reach_test
from weftwork.actions.reads import get_subnet, list_ports
from weftwork.actions.security_groups import add_rules
from weftwork.actions.shares import list_shared_subnets, list_shares, share_subnet, unshare_subnet
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.reach_test import Must, PortRef
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.testing.network_kit import BLUE, RED, leaks, refused

LENT = f"{RED}/lent"
ANYWHERE = IPv4Network("0.0.0.0/0")
NOBODY = ProjectKey("ghost", "net")


@pytest_asyncio.fixture(autouse=True)
async def two_vpcs(network: Network) -> AsyncIterator[None]:
    """With the same addresses; red shares a /29, of which five addresses are for ports, with blue."""
    for owner in (RED, BLUE):
        await create_vpc(network, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/16"))
    cidr = IPv4Network("10.1.9.0/29")
    await create_subnet(network, owner=RED, name="lent", cidr=cidr, dhcp_enabled=True)
    await share_subnet(network, owner=RED, subnet="lent", to=BLUE)
    yield
    assert await leaks(network.store) == ()


async def test_a_port_in_a_shared_subnet_is_its_projects_with_an_address_of_the_lenders(network: Network) -> None:
    port = (await create_port(network, owner=BLUE, subnet=LENT, name="a")).value

    assert (port.owner, port.lender, port.home, port.subnet, port.groups) == (BLUE, RED, RED, "lent", ("default",))
    assert port.addresses[0] in IPv4Network("10.1.9.0/29")
    assert [one.value for one in (await list_ports(network, owner=BLUE, subnet=LENT)).items] == [port]
    assert (await list_ports(network, owner=RED)).items == ()
    assert (
        await create_port(network, owner=BLUE, subnet=LENT, name="a")
        == (await list_ports(network, owner=BLUE)).items[0]
    )
    await delete_port(network, owner=BLUE, port="a", cascade=False)


async def test_of_a_borrowed_port_its_own_side_is_told_and_of_the_others_that_it_stops_a_packet(
    network: Network,
) -> None:
    borrowed = (await create_port(network, owner=BLUE, subnet=LENT, name="a")).value
    lenders = (await create_port(network, owner=RED, subnet="lent", name="r")).value
    await create_port(network, owner=BLUE, name="own")
    for owner, port in ((BLUE, "a"), (RED, "r"), (BLUE, "own")):
        await attach_port(network, owner=owner, port=port, vm=port)

    async def codes(owner: ProjectKey, source: str, destination: str) -> list[str]:
        asked = explain_flow(
            network, owner=owner, source=source, destination=destination, protocol=6, destination_port=80
        )
        found = (await asked).explanation
        assert str(lenders.id if owner == BLUE else borrowed.id) not in repr(found)
        return [one.reason.code.name for one in found.blockers]

    a, r = str(borrowed.addresses[0]), str(lenders.addresses[0])
    assert await codes(BLUE, "a", r) == ["REFUSED_BY_OTHER_SIDE"]
    assert await codes(BLUE, r, "a") == ["NO_INGRESS_RULE"]
    assert await codes(BLUE, "a", "internet") == ["REFUSED_BY_OTHER_SIDE"]
    assert await codes(BLUE, "internet", "a") == ["NO_INGRESS_RULE"]
    assert await codes(BLUE, "a", "own") == ["REFUSED_BY_OTHER_SIDE"]
    assert await codes(RED, "r", a) == ["REFUSED_BY_OTHER_SIDE"]
    assert await codes(RED, a, "r") == ["NO_INGRESS_RULE"]

    await add_rules(network, owner=RED, group="default", ingress=(Rule(Protocol.ALL, None, ANYWHERE),))
    assert await codes(BLUE, "a", r) == await codes(RED, a, "r") == []


async def test_no_reach_test_gives_the_borrower_a_say_in_what_the_lender_changes(network: Network) -> None:
    await create_port(network, owner=BLUE, subnet=LENT, name="a")
    never = Wanted("never", Must.NOT_REACH, PortRef("a"), GroupRef("default"), Protocol.TCP, None)
    async with refused(network, "PORT_IN_SHARED_SUBNET"):
        await create_reach_test(network, owner=BLUE, wanted=never)


async def test_addresses_and_macs_are_the_lenders_for_both(network: Network) -> None:
    ports = [
        (await create_port(network, owner=owner, subnet=subnet)).value
        for owner, subnet in ((BLUE, LENT), (RED, "lent"), (BLUE, LENT), (RED, "lent"), (BLUE, LENT))
    ]

    assert len({port.addresses for port in ports}) == len({port.mac for port in ports}) == 5
    for owner, subnet in ((BLUE, LENT), (RED, "lent")):
        async with refused(network, "SUBNET_EXHAUSTED"):
            await create_port(network, owner=owner, subnet=subnet)
    taken = ports[0].addresses[0]
    async with refused(network, "IP_ALREADY_ALLOCATED", "another project"):
        await create_port(network, owner=RED, subnet="lent", address=taken)
    async with refused(network, "MAC_ALREADY_USED", "another project"):
        await create_port(network, owner=RED, mac=ports[0].mac)
    async with refused(network, "NAT_TARGET_NOT_FOUND"):
        await create_dnat(
            network,
            owner=RED,
            external_ip=None,
            external_port=80,
            protocol=Protocol.TCP,
            internal_ip=taken,
            internal_port=80,
        )


async def test_the_same_address_in_both_vpcs_is_two_addresses(network: Network) -> None:
    at = IPv4Address("10.1.9.3")
    await create_subnet(network, owner=BLUE, name="own", cidr=IPv4Network("10.1.9.0/29"), dhcp_enabled=True)
    await create_port(network, owner=BLUE, subnet="own", name="own", address=at)
    await create_port(network, owner=BLUE, subnet=LENT, name="abroad", address=at)
    await create_dnat(
        network, owner=BLUE, external_ip=None, external_port=80, protocol=Protocol.TCP, internal_ip=at, internal_port=80
    )

    await delete_port(network, owner=BLUE, port="abroad", cascade=False)
    async with refused(network, "IN_USE", "DNAT"):
        await delete_port(network, owner=BLUE, port="own", cascade=False)


async def test_who_a_subnet_is_not_shared_with_cannot_tell_it_from_one_that_is_not_there(network: Network) -> None:
    await create_subnet(network, owner=RED, name="kept", cidr=None, dhcp_enabled=True)
    told = set()
    for name in ("kept", "none"):
        for owner, call in ((BLUE, create_port), (BLUE, get_subnet)):
            with pytest.raises(Refusal) as refusal:
                await call(network, owner=owner, subnet=f"{RED}/{name}")
            told.add(str(refusal.value).replace(name, "x"))
    assert len(told) == 1
    assert (await get_subnet(network, owner=BLUE, subnet=LENT)).value.owner == RED


async def test_shares_are_listed_on_both_sides(network: Network) -> None:
    await share_subnet(network, owner=RED, subnet="lent", to=NOBODY)

    assert [one.value.to for one in (await list_shares(network, owner=RED)).items] == [BLUE, NOBODY]
    assert [one.value.id for one in (await list_shared_subnets(network, owner=BLUE)).items] == [LENT]
    assert (await list_shared_subnets(network, owner=RED)).items == ()
    async with refused(network, "INVALID_PEER"):
        await share_subnet(network, owner=RED, subnet="lent", to=RED)
    async with refused(network, "SHARE_NOT_FOUND"):
        await unshare_subnet(network, owner=RED, subnet="default", to=BLUE)


async def test_nothing_under_a_port_of_another_project_goes_and_its_name_is_not_told(network: Network) -> None:
    await create_port(network, owner=BLUE, subnet=LENT, name="secret")

    for call in (
        unshare_subnet(network, owner=RED, subnet="lent", to=BLUE),
        delete_subnet(network, owner=RED, subnet="lent", cascade=True),
        delete_vpc(network, owner=RED, cascade=True),
    ):
        with pytest.raises(Refusal) as refusal:
            await call
        assert refusal.value.code == "IN_USE"
        assert "another project" in str(refusal.value) and "secret" not in str(refusal.value)
        assert "secret" not in str(refusal.value.details)

    await delete_port(network, owner=BLUE, port="secret", cascade=False)
    async with refused(network, "IN_USE", "share of lent"):
        await delete_subnet(network, owner=RED, subnet="lent", cascade=False)
    await delete_subnet(network, owner=RED, subnet="lent", cascade=True)
    assert (await list_shared_subnets(network, owner=BLUE)).items == ()


async def test_the_borrowers_vpc_goes_with_its_ports_abroad(network: Network) -> None:
    await create_port(network, owner=BLUE, subnet=LENT, name="a")

    await delete_vpc(network, owner=BLUE, cascade=True)

    await unshare_subnet(network, owner=RED, subnet="lent", to=BLUE)


async def test_a_port_and_the_end_of_its_share_at_the_same_time_are_one_or_the_other(network: Network) -> None:
    both = await asyncio.gather(
        create_port(network, owner=BLUE, subnet=LENT),
        unshare_subnet(network, owner=RED, subnet="lent", to=BLUE),
        return_exceptions=True,
    )

    refusals = [one for one in both if isinstance(one, Refusal)]
    assert len(refusals) == 1 and refusals[0].code in ("IN_USE", "SUBNET_NOT_FOUND")
