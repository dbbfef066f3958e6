from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from weftwork.actions.nat import create_snat
from weftwork.actions.network import Network
from weftwork.actions.ports import create_port
from weftwork.actions.reads import get_vpc, list_vpcs
from weftwork.actions.security_groups import create_security_group
from weftwork.actions.subnets import create_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model.security_group import GroupRef
from weftwork.testing.network_kit import BLUE, RED, content, leaks, refused


async def test_a_vpc_comes_with_its_default_subnet_and_group(network: Network) -> None:
    made = await create_vpc(network, owner=RED, name="main", cidr=None)

    assert made.value.cidr == IPv4Network("10.1.0.0/16")
    assert made.value.vni == 1001
    intent = network.view.intent[RED]
    assert intent.vpc == made.value
    assert intent.subnets["default"].cidr == IPv4Network("10.1.0.0/24")
    assert str(intent.subnets["default"].gateway) == "10.1.0.1"
    assert intent.subnets["default"].dhcp_enabled
    group = intent.groups["default"]
    assert [rule.peer for rule in group.ingress] == [GroupRef("default")]
    assert [str(rule.peer) for rule in group.egress] == ["0.0.0.0/0"]
    assert await leaks(network.store) == ()


async def test_projects_get_different_ranges_and_vnis(network: Network) -> None:
    first = (await create_vpc(network, owner=RED, name="", cidr=None)).value
    second = (await create_vpc(network, owner=BLUE, name="", cidr=None)).value

    assert (str(first.cidr), str(second.cidr)) == ("10.1.0.0/16", "10.2.0.0/16")
    assert first.vni != second.vni
    assert first.name == "web"


async def test_tenants_may_choose_the_same_range(network: Network) -> None:
    for owner in (RED, BLUE):
        made = await create_vpc(network, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/16"))
        assert made.value.cidr == IPv4Network("10.1.0.0/16")
    assert await leaks(network.store) == ()


async def test_a_small_vpc_is_its_default_subnet(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("192.168.7.16/28"))

    assert network.view.intent[RED].subnets["default"].cidr == IPv4Network("192.168.7.16/28")


async def test_creating_it_again_gives_the_one_that_is_there(network: Network) -> None:
    first = await create_vpc(network, owner=RED, name="main", cidr=None)

    assert await create_vpc(network, owner=RED, name="main", cidr=None) == first
    assert await create_vpc(network, owner=RED, name="", cidr=first.value.cidr) == first
    async with refused(network, "VPC_ALREADY_EXISTS", "'main'", "'other'"):
        await create_vpc(network, owner=RED, name="other", cidr=None)
    async with refused(network, "VPC_ALREADY_EXISTS", "10.1.0.0/16", "10.9.0.0/16"):
        await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.9.0.0/16"))


@pytest.mark.parametrize(
    ("cidr", "code", "word"),
    [
        ("10.0.0.0/7", "INVALID_CIDR", "/8"),
        ("10.0.0.0/29", "INVALID_CIDR", "/28"),
        ("0.0.0.0/8", "INVALID_CIDR", "this network"),
        ("127.1.0.0/16", "INVALID_CIDR", "loopback"),
        ("169.254.0.0/20", "INVALID_CIDR", "link-local"),
        ("224.0.0.0/8", "INVALID_CIDR", "multicast"),
        ("240.0.0.0/8", "INVALID_CIDR", "class E"),
        ("10.255.128.0/20", "CIDR_OVERLAP", "the hosts' own network"),
        ("10.0.0.0/8", "CIDR_OVERLAP", "10.255.0.0/16"),
        ("fd00::/48", "IPV6_NOT_SUPPORTED", "IPv6"),
    ],
)
async def test_ranges_that_no_vpc_can_have(network: Network, cidr: str, code: str, word: str) -> None:
    async with refused(network, code, word):
        await create_vpc(network, owner=RED, name="main", cidr=ip_network(cidr))


@pytest.mark.parametrize("cidr", [None, IPv4Network("10.4.0.0/16"), IPv6Network("fd00::/48")])
@pytest.mark.parametrize("name", ["Main", "a b", "-a", "a/b", "", "é", "x" * 64])
async def test_names_that_are_no_labels(network: Network, name: str, cidr: Cidr | None) -> None:
    async with refused(network, "INVALID_NAME"):
        await create_vpc(network, owner=ProjectKey("red", name), name=name, cidr=cidr)


async def test_the_pool_ends_with_its_last_free_range(network: Network) -> None:
    network.settings = type(network.settings)(cidr_pool=IPv4Network("172.16.0.0/15"))
    await create_vpc(network, owner=ProjectKey("a", "one"), name="", cidr=None)
    last = await create_vpc(network, owner=ProjectKey("a", "two"), name="", cidr=None)

    assert last.value.cidr == IPv4Network("172.16.0.0/16")
    async with refused(network, "CIDR_POOL_EXHAUSTED", "172.16.0.0/15"):
        await create_vpc(network, owner=ProjectKey("a", "three"), name="", cidr=None)
    await delete_vpc(network, owner=ProjectKey("a", "one"), cascade=False)
    again = await create_vpc(network, owner=ProjectKey("a", "three"), name="", cidr=None)
    assert again.value.cidr == IPv4Network("172.17.0.0/16")


async def test_a_vpc_with_its_untouched_defaults_can_be_deleted_and_leaves_nothing(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=None)
    await delete_vpc(network, owner=RED, cascade=False)

    assert await content(network.store) == ()
    assert RED not in network.view.intent
    async with refused(network, "VPC_NOT_FOUND"):
        await delete_vpc(network, owner=RED, cascade=False)


async def test_a_vpc_in_use_says_by_what_and_goes_with_it_when_asked(network: Network) -> None:
    await create_vpc(network, owner=RED, name="main", cidr=None)
    await create_vpc(network, owner=BLUE, name="main", cidr=None)
    others = await content(network.store)
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    await create_security_group(network, owner=RED, name="db")
    for number in range(25):
        await create_port(network, owner=RED, name=f"p{number:02}", groups=("db", "default"))
    await create_snat(network, owner=RED, external_ip=None)

    async with refused(network, "IN_USE", "SNAT 198.51.100.2", "port p00", "and 8 more"):
        await delete_vpc(network, owner=RED, cascade=False)
    await delete_vpc(network, owner=RED, cascade=True)

    blue_only = [record for record in others if "/red/" not in record.key and record.value != b"red/web"]
    assert list(await content(network.store)) == blue_only
    assert await leaks(network.store) == ()


async def test_a_vpc_made_anew_counts_its_own_macs(network: Network) -> None:
    async def first_mac() -> str:
        await create_vpc(network, owner=RED, name="main", cidr=None)
        return (await create_port(network, owner=RED)).value.mac

    before = await first_mac()
    await delete_vpc(network, owner=RED, cascade=True)

    assert before == await first_mac() == "02:57:00:00:00:00"


async def test_lists_come_in_pages_and_by_organisation(network: Network) -> None:
    for org in ("a", "b"):
        for project in ("one", "two", "three"):
            await create_vpc(network, owner=ProjectKey(org, project), name="", cidr=None)

    first = await list_vpcs(network, page_size=4)
    rest = await list_vpcs(network, page_size=4, page_token=first.next_page_token)

    assert [one.value.id for one in (*first.items, *rest.items)] == [
        f"{org}/{project}" for org in ("a", "b") for project in ("one", "three", "two")
    ]
    assert rest.next_page_token == ""
    assert len((await list_vpcs(network, org="b")).items) == 3
    assert [one.value.id for one in (await list_vpcs(network, org="b", project="two")).items] == ["b/two"]
    assert await get_vpc(network, owner=ProjectKey("b", "two")) == (await list_vpcs(network, project="two")).items[1]
    for token in ("x", "====", "é", "YQ"):
        async with refused(network, "INVALID_PAGE_TOKEN"):
            await list_vpcs(network, page_token=token)
