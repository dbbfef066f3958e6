"""Back to what was: exactly there, or refused with the reason and nothing changed."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network

import pytest_asyncio

from weftwork.actions import history, nat, ports, reach_tests, rows, security_groups, shares, subnets, vpcs
from weftwork.actions.network import Network
from weftwork.actions.reach_tests import Wanted
from weftwork.model.keys import ThingKey
from weftwork.model.reach_test import Must, PortRef
from weftwork.model.security_group import PortRange, Protocol, Rule
from weftwork.seams.store import Remove, Transaction
from weftwork.testing.network_kit import BLUE, RED, refused

ANYWHERE = IPv4Network("0.0.0.0/0")


@pytest_asyncio.fixture
async def shop(network: Network) -> AsyncIterator[Network]:
    """RED's VPC with a subnet `data`, and BLUE's."""
    await vpcs.create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.1.0.0/16"))
    await subnets.create_subnet(network, owner=RED, name="data", cidr=IPv4Network("10.1.7.0/29"), dhcp_enabled=True)
    await vpcs.create_vpc(network, owner=BLUE, name="", cidr=IPv4Network("10.2.0.0/16"))
    yield network


async def back(network: Network, revision: int) -> None:
    await history.rollback(network, owner=RED, revision=revision)


async def test_an_address_that_another_project_s_port_has_now_does_not_come_back(shop: Network) -> None:
    address = IPv4Address("10.1.7.3")
    await shares.share_subnet(shop, owner=RED, subnet="data", to=BLUE)
    port = await ports.create_port(shop, owner=RED, subnet="data", name="db", address=address)
    await ports.delete_port(shop, owner=RED, port="db", cascade=False)
    await ports.create_port(shop, owner=BLUE, subnet=f"{RED}/data", address=address)

    async with refused(shop, "ROLLBACK_IMPOSSIBLE", "10.1.7.3", "port db"):
        await back(shop, port.revision)


async def test_a_subnet_with_ports_of_others_is_not_rolled_away(shop: Network) -> None:
    before = shop.view.revision
    await subnets.create_subnet(shop, owner=RED, name="lent", cidr=None, dhcp_enabled=True)
    await shares.share_subnet(shop, owner=RED, subnet="lent", to=BLUE)
    await ports.create_port(shop, owner=BLUE, subnet=f"{RED}/lent")

    async with refused(shop, "IN_USE", "lent", "another project"):
        await back(shop, before)


async def test_an_external_address_that_another_vpc_has_now_does_not_come_back(shop: Network) -> None:
    address = IPv4Address("198.51.100.3")
    snat = await nat.create_snat(shop, owner=RED, external_ip=address)
    await nat.delete_snat(shop, owner=RED)
    await nat.create_snat(shop, owner=BLUE, external_ip=address)

    async with refused(shop, "EXTERNAL_IP_IN_USE", "198.51.100.3"):
        await back(shop, snat.revision)


async def test_the_vpc_s_own_ports_may_exchange_their_addresses(shop: Network) -> None:
    first, second = IPv4Address("10.1.7.3"), IPv4Address("10.1.7.4")
    for name, address in (("a", first), ("b", second)):
        made = await ports.create_port(shop, owner=RED, subnet="data", name=name, address=address)
    for name in ("a", "b"):
        await ports.delete_port(shop, owner=RED, port=name, cascade=False)
    for name, address in (("b", first), ("a", second)):
        await ports.create_port(shop, owner=RED, subnet="data", name=name, address=address)

    await back(shop, made.revision)

    addresses = {one.name: one.addresses[0] for one in shop.view.intent[RED].ports.values()}
    assert addresses == {"a": first, "b": second}


async def test_what_is_plugged_into_the_host_is_not_brought_back(shop: Network) -> None:
    await ports.create_port(shop, owner=RED, name="web")
    plugged = await ports.plug_port(shop, owner=RED, port="web", netns="guest1")
    await ports.delete_port(shop, owner=RED, port="web", cascade=False)

    await back(shop, plugged.revision)

    (port,) = shop.view.intent[RED].ports.values()
    assert (port.id, port.mac, port.attachment) == (plugged.value.id, plugged.value.mac, None)


async def test_a_rollback_that_breaks_a_reach_test_is_refused(shop: Network) -> None:
    await security_groups.create_security_group(shop, owner=RED, name="closed")
    for name, group in (("web", "default"), ("db", "closed")):
        await ports.create_port(shop, owner=RED, name=name, groups=(group,))
        await ports.attach_port(shop, owner=RED, port=name, vm=name)
    closed = shop.view.revision
    opened = (Rule(Protocol.TCP, PortRange(443, 443), ANYWHERE),)
    await security_groups.add_rules(shop, owner=RED, group="closed", ingress=opened)
    web, db = (PortRef(name) for name in ("web", "db"))
    test = Wanted("open", Must.REACH, web, db, Protocol.TCP, PortRange(443, 443))
    await reach_tests.create_reach_test(shop, owner=RED, wanted=test)
    tested = shop.view.revision
    await reach_tests.delete_reach_test(shop, owner=RED, test="open")
    await security_groups.remove_rules(shop, owner=RED, group="closed", ingress=opened)
    standing = (await history.things_at(shop, owner=RED, revision=tested))[ThingKey("reach-test", RED, "open")]

    # With the state of before the rule, the test that would come along does not hold.
    before = {**await history.things_at(shop, owner=RED, revision=closed), rows.key_of(standing): standing}
    async with refused(shop, "REACH_TEST_FAILED", "open"):
        await history.restore(shop, owner=RED, wanted=before)
    # With its rule it comes back, and then forbids to take away the rule alone.
    await back(shop, tested)
    async with refused(shop, "REACH_TEST_FAILED", "open"):
        await history.restore(shop, owner=RED, wanted=before)


async def test_revisions_come_in_pages_newest_first_each_once(shop: Network) -> None:
    for number in range(7):
        await ports.create_port(shop, owner=RED, name=f"p{number}")

    whole = (await history.list_revisions(shop, owner=RED)).items
    told: list[int] = []
    token = ""
    while True:
        page = await history.list_revisions(shop, owner=RED, page_size=2, page_token=token)
        told += [one.revision for one in page.items]
        token = page.next_page_token
        if not token:
            break

    assert told == [one.revision for one in whole] == sorted(told, reverse=True)
    assert len(told) == 9


async def test_a_revision_before_the_journal_begins_is_not_known(shop: Network) -> None:
    """As after lines were let go."""
    for record in (await shop.store.range("/journal/red/web/")).records[1:]:
        await shop.store.commit(Transaction((), (Remove(record.key),)))

    async with refused(shop, "REVISION_NOT_KNOWN"):
        await back(shop, 1)


async def test_a_difference_from_nothing_is_all_that_there_is(shop: Network) -> None:
    there = {rows.key_of(one) for one in shop.view.project(RED).things()}  # type: ignore[union-attr]

    changes = await history.diff(shop, owner=RED, old=0, new=0)

    assert {one.key for one in changes} == there
    assert all(one.before is None for one in changes)
