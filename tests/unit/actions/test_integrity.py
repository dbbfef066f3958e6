"""The finder of leaks finds them."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import pytest
import pytest_asyncio

from weftwork.actions.integrity import orphans
from weftwork.actions.nat import create_dnat, create_snat
from weftwork.actions.network import Network
from weftwork.actions.ports import create_port, plug_port
from weftwork.actions.security_groups import create_security_group
from weftwork.actions.vpcs import create_vpc
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.seams.store import Record
from weftwork.testing.network_kit import RED, content

ADDRESS = IPv4Address("10.1.0.9")


@pytest_asyncio.fixture
async def records(network: Network) -> AsyncIterator[dict[str, Record]]:
    """A project with one of everything."""
    await create_vpc(network, owner=RED, name="main", cidr=None)
    await create_security_group(network, owner=RED, name="g", ingress=(Rule(Protocol.ALL, None, GroupRef("default")),))
    await create_port(network, owner=RED, name="p", address=ADDRESS)
    await plug_port(network, owner=RED, port="p", netns="n")
    await create_snat(network, owner=RED, external_ip=None)
    await create_dnat(
        network, owner=RED, external_ip=None, external_port=80, protocol=Protocol.TCP, internal_ip=ADDRESS
    )
    yield {record.key: record for record in await content(network.store)}


OPTIONAL = ("/networks/mac_blocks/", "/networks/cidr/pool/")


async def test_whatever_single_key_is_lost_is_noticed(records: dict[str, Record]) -> None:
    assert orphans(records.values()) == ()
    for key in records:
        found = orphans(record for record in records.values() if record.key != key)
        assert bool(found) != key.startswith(OPTIONAL), key


async def test_whatever_claim_has_another_owner_is_noticed(records: dict[str, Record]) -> None:
    named = [record for record in records.values() if record.value in (b"red/web", records_port(records))]
    assert len(named) > 8
    for record in named:
        changed = records | {record.key: Record(record.key, b"somebody/else", record.revision)}
        assert record.key in {orphan.key for orphan in orphans(changed.values())}


@pytest.mark.parametrize(
    "key",
    [
        "/networks/ipam/red/web/default/allocated/10.1.0.7",
        "/networks/macs/red/web/02:57:00:00:00:77",
        "/networks/port_names/red/web/ghost",
        "/networks/members/red/web/default/00000000-0000-4000-8000-000000000000",
        "/networks/group_references/red/web/default/ghost",
        "/networks/vnis/00009999",
        "/networks/external/198.51.100.6",
        "/networks/external_uses/198.51.100.6/snat",
        "/networks/dnat_targets/red/web/10.1.0.9/ghost",
        "/networks/plugs/n/eth7",
        "/networks/mac_blocks/ghost/web",
        "/networks/cidr/allocations/ghost/web",
        "/networks/cidr/pool/used/10.77.0.0-16",
        "/networks/unheard/of",
    ],
)
async def test_a_claim_of_nobody_is_noticed(records: dict[str, Record], key: str) -> None:
    found = orphans([*records.values(), Record(key, b"red/web", 1)])

    assert [orphan.key for orphan in found] == [key]


async def test_what_cannot_be_read_is_told(records: dict[str, Record]) -> None:
    key = "/networks/vpcs/red/web"
    found = orphans((records | {key: Record(key, b"{", 1)}).values())

    assert any(orphan.key == key and orphan.why.startswith("cannot be read") for orphan in found)


def records_port(records: dict[str, Record]) -> bytes:
    return records["/networks/port_names/red/web/p"].value
