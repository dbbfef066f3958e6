"""What a dry run tells of who may talk to whom, and what it costs."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import pytest_asyncio

from weftwork.actions.nat import create_dnat, create_snat
from weftwork.actions.network import Network
from weftwork.actions.peerings import create_peering, delete_peering
from weftwork.actions.ports import create_port, delete_port, set_security_groups
from weftwork.actions.security_groups import add_rules, create_security_group, remove_rules
from weftwork.actions.shares import share_subnet
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.controller.reach_changes import reach_changes
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.seams.insight import ReachChange, ReachExample
from weftwork.testing.network_kit import BLUE, RED, network_at

pytestmark = pytest.mark.asyncio
ANYWHERE = IPv4Network("0.0.0.0/0")
ALL_OUT = (Rule(Protocol.ALL, None, ANYWHERE),)


def tcp(port: int, peer: IPv4Network | GroupRef = ANYWHERE) -> tuple[Rule, ...]:
    return (Rule(Protocol.TCP, PortRange(port, port), peer),)


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Network]:
    """Ports web1 and web2 of group web, and db1 of group db, which lets nobody in."""
    async with network_at(tmp_path) as network:
        await create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.0.0.0/16"))
        for name in ("web", "db"):
            await create_security_group(network, owner=RED, name=name, egress=ALL_OUT)
        for name, group in (("web1", "web"), ("web2", "web"), ("db1", "db")):
            await create_port(network, owner=RED, name=name, vm=name, groups=(group,))
        yield network


def told(network: Network, dry: Network) -> tuple[ReachChange, ...]:
    return reach_changes(network.reach, network.view, dry.writes)  # type: ignore[attr-defined]


async def test_a_rule_gains_every_pair_that_it_opens_by_name(shop: Network) -> None:
    dry = shop.dry()
    await add_rules(dry, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))

    (change,) = told(shop, dry)
    assert (change.owner, change.gained.pairs, change.lost.pairs) == (RED, 2, 0)
    assert set(change.gained.examples) == {ReachExample(one, "db1", "tcp 5432") for one in ("web1", "web2")}


async def test_what_was_committed_meanwhile_is_the_present_of_the_next_dry_run(shop: Network) -> None:
    dry = shop.dry()
    await add_rules(dry, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))
    assert told(shop, dry)
    await add_rules(shop, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))
    await create_port(shop, owner=RED, name="web3", vm="web3", groups=("web",))

    dry = shop.dry()
    await remove_rules(dry, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))
    (change,) = told(shop, dry)
    assert (change.gained.pairs, change.lost.pairs) == (0, 3)


async def test_a_port_that_goes_is_told_by_its_name(shop: Network) -> None:
    await add_rules(shop, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))
    dry = shop.dry()
    await delete_port(dry, owner=RED, port="web2", cascade=False)

    (change,) = told(shop, dry)
    assert change.lost.examples == (ReachExample("web2", "db1", "tcp 5432"),)


async def test_a_port_that_comes_is_told_by_its_name(shop: Network) -> None:
    await add_rules(shop, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))
    dry = shop.dry()
    await create_port(dry, owner=RED, name="web3", vm="web3", groups=("web",))

    (change,) = told(shop, dry)
    assert change.gained.examples == (ReachExample("web3", "db1", "tcp 5432"),)


async def test_ways_to_the_outside_and_from_it_are_told(shop: Network) -> None:
    dry = shop.dry()
    await create_snat(dry, owner=RED, external_ip=None)
    (change,) = told(shop, dry)
    assert change.gained.outwards == 3
    assert ReachExample("db1", "internet", "all") in change.gained.examples

    await add_rules(shop, owner=RED, group="web", ingress=tcp(8080))
    address = next(one.addresses[0] for one in shop.view.intent[RED].ports.values() if one.name == "web1")
    dry = shop.dry()
    await create_dnat(
        dry,
        owner=RED,
        external_ip=None,
        external_port=80,
        protocol=Protocol.TCP,
        internal_ip=address,
        internal_port=8080,
    )
    (change,) = told(shop, dry)
    assert change.gained.forwards == 1
    assert change.gained.examples == (ReachExample("internet", "198.51.100.2:80/tcp", "tcp 80"),)


async def test_a_change_of_groups_that_changes_nothing_is_not_told(shop: Network) -> None:
    await create_security_group(shop, owner=RED, name="twin", egress=ALL_OUT)
    dry = shop.dry()
    await set_security_groups(dry, owner=RED, port="web1", groups=("twin",))

    assert told(shop, dry) == ()


async def test_a_project_that_goes_loses_all_and_comes_back_empty(shop: Network) -> None:
    await add_rules(shop, owner=RED, group="db", ingress=tcp(5432, GroupRef("web")))
    dry = shop.dry()
    await delete_vpc(dry, owner=RED, cascade=True)
    (change,) = told(shop, dry)
    assert change.lost.pairs == 2

    await delete_vpc(shop, owner=RED, cascade=True)
    await create_vpc(shop, owner=RED, name="", cidr=None)
    dry = shop.dry()
    await create_port(dry, owner=RED, name="web1", vm="web1", groups=("default",))
    assert told(shop, dry) == ()


async def test_another_tenants_reach_is_untouched(shop: Network) -> None:
    await create_vpc(shop, owner=BLUE, name="", cidr=None)
    await create_port(shop, owner=BLUE, name="b1", vm="b1", groups=("default",))
    dry = shop.dry()
    await create_port(dry, owner=BLUE, name="b2", vm="b2", groups=("default",))

    assert [one.owner for one in told(shop, dry)] == [BLUE]


async def test_accepting_a_peering_gains_pairs_with_the_peer_whose_guests_are_told_by_address(shop: Network) -> None:
    await create_vpc(shop, owner=BLUE, name="", cidr=IPv4Network("10.1.0.0/16"))
    await create_security_group(shop, owner=BLUE, name="open", ingress=tcp(22))
    await create_port(shop, owner=BLUE, name="secret-name", vm="vm", groups=("open",), address=IPv4Address("10.1.0.9"))
    await create_snat(shop, owner=RED, external_ip=None)
    await create_peering(shop, owner=BLUE, name="", peer=RED)

    dry = shop.dry()
    await create_peering(dry, owner=RED, name="", peer=BLUE)
    (change,) = told(shop, dry)

    assert (change.owner, change.gained.pairs, change.lost.pairs) == (RED, 3, 0)
    assert ReachExample("web1", f"{BLUE} 10.1.0.9", "tcp 22") in change.gained.examples
    assert change.lost.outwards == 3, "the peer's addresses are not outside any more"

    await create_peering(shop, owner=RED, name="", peer=BLUE)
    dry = shop.dry()
    await delete_peering(dry, owner=RED, peering=str(BLUE), cascade=False)
    (back,) = told(shop, dry)
    assert (back.lost.pairs, back.gained.pairs, back.gained.outwards) == (3, 0, 3)


async def test_an_offer_gains_nothing(shop: Network) -> None:
    await create_vpc(shop, owner=BLUE, name="", cidr=IPv4Network("10.1.0.0/16"))

    dry = shop.dry()
    await create_peering(dry, owner=RED, name="", peer=BLUE)

    assert told(shop, dry) == ()


async def test_a_port_in_a_shared_subnet_gains_pairs_with_who_is_there(shop: Network) -> None:
    await create_vpc(shop, owner=BLUE, name="", cidr=IPv4Network("10.0.0.0/16"))
    await create_security_group(shop, owner=BLUE, name="open", ingress=tcp(22))
    await share_subnet(shop, owner=RED, subnet="default", to=BLUE)

    dry = shop.dry()
    await create_port(dry, owner=BLUE, subnet=f"{RED}/default", name="abroad", vm="vm", groups=("open",))
    (change,) = told(shop, dry)

    assert (change.owner, change.gained.pairs) == (BLUE, 3)
    assert {one.destination for one in change.gained.examples} == {"abroad"}
    assert all(one.source.startswith(f"{RED} 10.0.0.") for one in change.gained.examples), "not by red's names"
