from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

import pytest
import pytest_asyncio

from weftwork.actions.nat import create_dnat
from weftwork.actions.network import Network
from weftwork.actions.ports import create_port
from weftwork.actions.reads import get_subnet, list_ports, list_subnets
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vpcs import create_vpc
from weftwork.model.security_group import Protocol
from weftwork.testing.network_kit import BLUE, RED, HandClock, content, leaks, refused


@pytest_asyncio.fixture(autouse=True)
async def red_vpc(network: Network) -> AsyncIterator[None]:
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/16"))
    yield
    assert await leaks(network.store) == ()


async def test_subnets_without_a_range_get_the_lowest_free_one_and_a_vlan_of_their_own(network: Network) -> None:
    await create_subnet(network, owner=RED, name="a", cidr=IPv4Network("10.1.1.128/25"), dhcp_enabled=True)
    made = await create_subnet(network, owner=RED, name="b", cidr=None, dhcp_enabled=False)

    assert made.value.cidr == IPv4Network("10.1.2.0/24")
    assert made.value.gateway == IPv4Address("10.1.2.1")
    assert made.value.vlan == 3
    assert made.value.lease_time_s == 86_400
    assert not made.value.dhcp_enabled


async def test_a_vlan_is_free_again_with_its_subnet(network: Network) -> None:
    await create_subnet(network, owner=RED, name="a", cidr=None, dhcp_enabled=True)
    await create_subnet(network, owner=RED, name="b", cidr=None, dhcp_enabled=True)
    await delete_subnet(network, owner=RED, subnet="a", cascade=False)

    assert (await create_subnet(network, owner=RED, name="c", cidr=None, dhcp_enabled=True)).value.vlan == 2


async def test_creating_it_again_gives_the_one_that_is_there(network: Network) -> None:
    servers = (IPv4Address("192.0.2.53"),)
    first = await create_subnet(
        network, owner=RED, name="a", cidr=None, dhcp_enabled=True, dns_servers=servers, lease_time_s=3600
    )

    assert await create_subnet(network, owner=RED, name="a", cidr=None, dhcp_enabled=True) == first
    assert await create_subnet(network, owner=RED, name="a", cidr=first.value.cidr, dhcp_enabled=True) == first
    async with refused(network, "SUBNET_ALREADY_EXISTS", "DHCP is on, not off", "lease time is 3600, not 60"):
        await create_subnet(network, owner=RED, name="a", cidr=None, dhcp_enabled=False, lease_time_s=60)


@pytest.mark.parametrize(
    ("cidr", "code", "word"),
    [
        ("10.2.0.0/24", "SUBNET_OUTSIDE_VPC", "10.1.0.0/16"),
        ("10.0.0.0/8", "SUBNET_OUTSIDE_VPC", "10.1.0.0/16"),
        ("10.1.0.128/25", "CIDR_OVERLAP", "'default'"),
        ("10.1.0.0/16", "CIDR_OVERLAP", "'default'"),
        ("10.1.9.0/31", "INVALID_CIDR", "/30"),
        ("10.1.9.0/32", "INVALID_CIDR", "/30"),
        ("127.0.0.0/24", "INVALID_CIDR", "loopback"),
        ("fd00::/64", "IPV6_NOT_SUPPORTED", "fd00::/64"),
    ],
)
async def test_ranges_that_the_subnet_cannot_have(network: Network, cidr: str, code: str, word: str) -> None:
    async with refused(network, code, word):
        await create_subnet(network, owner=RED, name="a", cidr=ip_network(cidr), dhcp_enabled=True)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", "A", "INVALID_NAME"),
        ("name", "", "INVALID_NAME"),
        ("dns_servers", (ip_address("fd00::1"),), "IPV6_NOT_SUPPORTED"),
        ("dns_servers", (ip_address("0.0.0.0"),), "INVALID_IP"),
        ("ntp_servers", (ip_address("224.0.1.1"),), "INVALID_IP"),
        ("ntp_servers", (ip_address("192.0.2.1"),) * 9, "FIELD_TOO_LONG"),
        ("domain_name", "a..b", "INVALID_DOMAIN_NAME"),
        ("domain_name", "a" * 64, "INVALID_DOMAIN_NAME"),
        ("domain_name", "a b", "INVALID_DOMAIN_NAME"),
        ("domain_name", ".".join(["a" * 60] * 5), "INVALID_DOMAIN_NAME"),
        ("lease_time_s", 59, "INVALID_LEASE_TIME"),
        ("lease_time_s", 31_536_001, "INVALID_LEASE_TIME"),
    ],
)
async def test_bad_fields(network: Network, field: str, value: object, code: str) -> None:
    arguments: dict[str, Any] = {"name": "a", "cidr": None, "dhcp_enabled": True} | {field: value}
    async with refused(network, code):
        await create_subnet(network, owner=RED, **arguments)


async def test_a_full_vpc_has_no_room_for_another_subnet(network: Network) -> None:
    await create_subnet(network, owner=RED, name="big", cidr=IPv4Network("10.1.128.0/17"), dhcp_enabled=True)
    for number in range(127):
        await create_subnet(network, owner=RED, name=f"s{number}", cidr=None, dhcp_enabled=True)

    async with refused(network, "CIDR_POOL_EXHAUSTED", "10.1.0.0/16"):
        await create_subnet(network, owner=RED, name="more", cidr=None, dhcp_enabled=True)


async def test_a_subnet_of_nobody_or_of_another_is_not_found(network: Network) -> None:
    await create_vpc(network, owner=BLUE, name="main", cidr=None)
    await create_subnet(network, owner=BLUE, name="secret", cidr=None, dhcp_enabled=True)

    for text in ("secret", "blue/web/secret", "blue/web/default", "", "/", "red/web/", "x" * 500):
        async with refused(network, "SUBNET_NOT_FOUND"):
            await get_subnet(network, owner=RED, subnet=text)
        async with refused(network, "SUBNET_NOT_FOUND"):
            await delete_subnet(network, owner=RED, subnet=text, cascade=True)
    assert await get_subnet(network, owner=RED, subnet="red/web/default") == await get_subnet(
        network, owner=RED, subnet="default"
    )


async def test_a_subnet_in_use_says_by_what_and_goes_with_it_when_asked(network: Network) -> None:
    kept = await content(network.store)
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    port = (await create_port(network, owner=RED, subnet="data", name="db")).value
    dnat = await create_dnat(
        network,
        owner=RED,
        external_ip=None,
        external_port=5432,
        protocol=Protocol.TCP,
        internal_ip=port.addresses[0],
    )

    async with refused(network, "IN_USE", "port db", f"DNAT {dnat.value.external}"):
        await delete_subnet(network, owner=RED, subnet="data", cascade=False)
    await delete_subnet(network, owner=RED, subnet="red/web/data", cascade=True)

    left = {record.key for record in await content(network.store)}
    assert left - {record.key for record in kept} == {"/networks/mac_blocks/red/web"}
    assert (await list_subnets(network, owner=RED)).items[0].value.name == "default"
    assert (await list_ports(network, owner=RED)).items == ()


async def test_a_vpc_is_updated_with_its_subnets(network: Network) -> None:
    clock = network.clock
    assert isinstance(clock, HandClock)
    clock.time_s += 60
    await create_subnet(network, owner=RED, name="a", cidr=None, dhcp_enabled=True)

    vpc = network.view.intent[RED].vpc
    assert vpc is not None
    assert vpc.updated_at == vpc.created_at + 60
