"""Every change leaves a line in its project's journal: who, what, before and after; what was refused leaves none."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Network

import pytest

from weftwork.actions import journal, ports, subnets, vpcs
from weftwork.actions.journal import Author, Line
from weftwork.actions.network import Network
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.keys import ThingKey
from weftwork.testing.network_kit import BLUE, RED

ANN = Author(who="user:ann", where="unix:", call="/weftwork.v1.PortService/PlugPort", note="ticket 7")


@pytest.fixture
async def shop(network: Network) -> AsyncIterator[Network]:
    await vpcs.create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.1.0.0/16"))
    yield network.on_behalf(ANN)


async def lines(network: Network, owner: ProjectKey = RED) -> list[Line]:
    """Newest first."""
    return [journal.line(one) for one in (await network.store.range(keys.journal(owner))).records]


async def test_a_new_port_is_one_line_with_its_author_and_its_revision(shop: Network) -> None:
    port = await ports.create_port(shop, owner=RED, name="web1")

    newest = (await lines(shop))[0]

    assert newest.author == ANN
    assert newest.revision == port.revision
    assert newest.at_s == shop.clock.now_s()
    assert [(one.key, one.before, one.after) for one in newest.changes] == [
        (ThingKey("port", RED, port.value.id), None, port.value)
    ]


async def test_a_deletion_keeps_what_was_there(shop: Network) -> None:
    port = await ports.create_port(shop, owner=RED, name="web1")
    await ports.delete_port(shop, owner=RED, port="web1", cascade=False)

    (gone,) = (await lines(shop))[0].changes

    assert (gone.before, gone.after) == (port.value, None)


async def test_lines_stand_newest_first(shop: Network) -> None:
    for name in ("a", "b", "c"):
        await ports.create_port(shop, owner=RED, name=name)

    revisions = [one.revision for one in await lines(shop)]

    assert revisions == sorted(revisions, reverse=True)
    assert len(revisions) == 4


async def test_what_is_refused_or_only_planned_leaves_no_line(shop: Network) -> None:
    before = await lines(shop)
    with pytest.raises(Refusal):
        await ports.create_port(shop, owner=RED, subnet="nowhere")
    await ports.create_port(shop.dry(), owner=RED, name="web1")

    assert await lines(shop) == before


async def test_each_project_has_lines_of_its_own(shop: Network) -> None:
    await vpcs.create_vpc(shop, owner=BLUE, name="", cidr=None)

    assert {one.key.owner for line in await lines(shop, BLUE) for one in line.changes} == {BLUE}
    assert {one.key.owner for line in await lines(shop) for one in line.changes} == {RED}


async def test_a_change_of_very_many_things_is_several_lines_of_one_revision(
    shop: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await ports.create_port(shop, owner=RED, name=f"p{number}")
    monkeypatch.setattr(journal, "LINE_BYTES_MAX", 700)

    await subnets.delete_subnet(shop, owner=RED, subnet="default", cascade=True)

    newest = await lines(shop)
    parts = [one for one in newest if one.revision == newest[0].revision]
    assert len(parts) > 2
    changed = [one.key for part in parts for one in part.changes]
    assert len(changed) == len(set(changed))
    assert {one.kind for one in changed} == {"port", "subnet", "vpc"}
