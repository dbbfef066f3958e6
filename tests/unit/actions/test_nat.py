from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any

import pytest
import pytest_asyncio

from weftwork.actions.nat import create_dnat, create_snat, delete_dnat, delete_snat
from weftwork.actions.network import Network
from weftwork.actions.ports import create_port
from weftwork.actions.reads import list_dnats, list_snats
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.addresses import Address
from weftwork.base.tenancy import ProjectKey
from weftwork.model.security_group import Protocol
from weftwork.testing.network_kit import BLUE, RED, SETTINGS, leaks, refused

TARGET = IPv4Address("10.1.0.10")
FIRST, SECOND = IPv4Address("198.51.100.2"), IPv4Address("198.51.100.3")


@pytest_asyncio.fixture(autouse=True)
async def two_vpcs(network: Network) -> AsyncIterator[None]:
    for owner in (RED, BLUE):
        await create_vpc(network, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/16"))
        await create_port(network, owner=owner, name="a", address=TARGET)
    yield
    assert await leaks(network.store) == ()


async def forward(network: Network, external_ip: Address | None = None, **changed: Any) -> Any:
    arguments: dict[str, Any] = {
        "owner": RED,
        "external_ip": external_ip,
        "external_port": 80,
        "protocol": Protocol.TCP,
        "internal_ip": TARGET,
        "internal_port": 8080,
    }
    return await create_dnat(network, **(arguments | changed))


async def test_a_vpc_has_one_snat(network: Network) -> None:
    first = await create_snat(network, owner=RED, external_ip=None)

    assert first.value.external_ip == FIRST
    assert await create_snat(network, owner=RED, external_ip=FIRST) == first
    async with refused(network, "SNAT_ALREADY_EXISTS", "198.51.100.2", "198.51.100.3"):
        await create_snat(network, owner=RED, external_ip=SECOND)
    async with refused(network, "SNAT_ALREADY_EXISTS", "enabled"):
        await create_snat(network, owner=RED, external_ip=None, enabled=False)
    async with refused(network, "SNAT_NOT_FOUND", "198.51.100.3"):
        await delete_snat(network, owner=RED, external_ip=SECOND)
    await delete_snat(network, owner=RED)
    async with refused(network, "SNAT_NOT_FOUND"):
        await delete_snat(network, owner=RED)


async def test_an_external_address_belongs_to_one_vpc_until_its_last_use_is_gone(network: Network) -> None:
    await create_snat(network, owner=RED, external_ip=FIRST)
    await forward(network, FIRST)
    await delete_snat(network, owner=RED)
    async with refused(network, "EXTERNAL_IP_IN_USE", "198.51.100.2"):
        await create_snat(network, owner=BLUE, external_ip=FIRST)
    assert (await create_snat(network, owner=BLUE, external_ip=None)).value.external_ip == SECOND

    await delete_dnat(network, owner=RED, external_ip=FIRST, external_port=80, protocol=Protocol.TCP)
    await delete_snat(network, owner=BLUE)
    assert (await create_snat(network, owner=BLUE, external_ip=FIRST)).value.external_ip == FIRST


@pytest.mark.parametrize(
    ("address", "code", "why"),
    [
        ("198.51.100.0", "EXTERNAL_IP_NOT_OFFERED", "network address"),
        ("198.51.100.1", "EXTERNAL_IP_NOT_OFFERED", "gateway"),
        ("198.51.100.7", "EXTERNAL_IP_NOT_OFFERED", "broadcast address"),
        ("203.0.113.1", "EXTERNAL_IP_NOT_OFFERED", "none of the pools: 198.51.100.0/29"),
        ("2001:db8::1", "IPV6_NOT_SUPPORTED", "IPv6"),
    ],
)
async def test_addresses_that_are_not_offered(network: Network, address: str, code: str, why: str) -> None:
    async with refused(network, code, address, why):
        await create_snat(network, owner=RED, external_ip=ip_address(address))
    async with refused(network, code, address):
        await forward(network, ip_address(address))


async def test_external_addresses_end(network: Network) -> None:
    for number in range(5):
        owner = ProjectKey("many", f"p{number}")
        await create_vpc(network, owner=owner, name="", cidr=None)
        await create_snat(network, owner=owner, external_ip=None)
    async with refused(network, "EXTERNAL_POOL_EXHAUSTED", "taken"):
        await create_snat(network, owner=RED, external_ip=None)
    await delete_vpc(network, owner=ProjectKey("many", "p3"), cascade=True)
    assert str((await create_snat(network, owner=RED, external_ip=None)).value.external_ip) == "198.51.100.5"

    network.settings = type(SETTINGS)()
    async with refused(network, "EXTERNAL_POOL_EXHAUSTED", "offers no"):
        await create_snat(network, owner=BLUE, external_ip=None)


async def test_a_forwarded_port_uses_the_snats_address(network: Network) -> None:
    await create_snat(network, owner=RED, external_ip=SECOND)
    made = await forward(network)

    assert made.value.name == "198.51.100.3:80:tcp"
    assert await forward(network) == made
    assert await forward(network, SECOND) == made
    async with refused(network, "DNAT_ALREADY_EXISTS", "10.1.0.10:8080", "10.1.0.10:9090"):
        await forward(network, internal_port=9090)


async def test_without_a_snat_a_port_is_forwarded_from_an_address_of_the_vpc_where_it_is_free(network: Network) -> None:
    first = await forward(network)
    udp = await forward(network, protocol=Protocol.UDP)
    other = await forward(network, internal_port=9090)

    assert [str(one.value.external_ip) for one in (first, udp, other)] == [
        "198.51.100.2",
        "198.51.100.2",
        "198.51.100.3",
    ]
    assert await forward(network) == first
    assert (await create_snat(network, owner=RED, external_ip=None)).value.external_ip == FIRST
    assert len((await list_dnats(network, owner=RED)).items) == 3
    assert len((await list_snats(network, owner=RED)).items) == 1
    assert (await list_snats(network, owner=BLUE)).items == ()


async def test_an_internal_port_that_is_not_given_is_the_external_one(network: Network) -> None:
    assert (await forward(network, internal_port=0)).value.internal_port == 80


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"protocol": Protocol.ICMP}, "INVALID_PROTOCOL"),
        ({"protocol": Protocol.ALL}, "INVALID_PROTOCOL"),
        ({"external_port": 0}, "INVALID_PORT_RANGE"),
        ({"external_port": 65536}, "INVALID_PORT_RANGE"),
        ({"internal_port": 65536}, "INVALID_PORT_RANGE"),
        ({"internal_ip": ip_address("10.1.9.1")}, "IP_OUTSIDE_SUBNET"),
        ({"internal_ip": ip_address("10.1.0.11")}, "NAT_TARGET_NOT_FOUND"),
        ({"internal_ip": ip_address("10.1.0.1")}, "NAT_TARGET_NOT_FOUND"),
        ({"internal_ip": ip_address("fd00::1")}, "IP_OUTSIDE_SUBNET"),
    ],
)
async def test_what_cannot_be_forwarded(network: Network, changed: dict[str, Any], code: str) -> None:
    async with refused(network, code):
        await forward(network, **changed)


async def test_another_tenants_forwarding_is_not_found(network: Network) -> None:
    await forward(network, FIRST, owner=BLUE)
    async with refused(network, "DNAT_NOT_FOUND"):
        await delete_dnat(network, owner=RED, external_ip=FIRST, external_port=80, protocol=Protocol.TCP)
    async with refused(network, "EXTERNAL_IP_IN_USE"):
        await forward(network, FIRST)
