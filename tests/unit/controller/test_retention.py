"""What is old goes, what is younger stays and still leads back; each at its own cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from weftwork.actions import audit, history, ports, vpcs
from weftwork.actions.journal import Author
from weftwork.actions.network import Network
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.controller.retention import DAY_S, Kept, Retention
from weftwork.model import keys
from weftwork.seams.store import Transaction
from weftwork.testing.network_kit import BLUE, RED, HandClock, network_at


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with network_at(tmp_path) as one:
        yield one


def retention(network: Network, journal_days: int = 10, audit_days: int = 0) -> Retention:
    return Retention(network.store, network.clock, Kept(journal_days, audit_days))


def pass_days(network: Network, days: int) -> None:
    assert isinstance(network.clock, HandClock)
    network.clock.time_s += days * DAY_S


async def revisions(network: Network) -> list[int]:
    return [one.revision for one in (await history.list_revisions(network, owner=RED)).items]


async def test_old_lines_of_all_projects_go_and_younger_ones_stay(network: Network) -> None:
    for owner in (RED, BLUE):
        await vpcs.create_vpc(network, owner=owner, name="", cidr=None)
    await ports.create_port(network, owner=RED, name="old")
    await retention(network).once()
    pass_days(network, 9)
    young = await ports.create_port(network, owner=RED, name="young")
    newer = await ports.create_port(network, owner=RED, name="newer")

    assert await retention(network).once() == 0
    pass_days(network, 2)
    # The reservation of a block of MACs has no line; two VPCs and one port have.
    assert await retention(network).once() == 3

    assert await revisions(network) == [newer.revision, young.revision]
    assert not (await network.store.range(keys.journal(BLUE))).records
    told = await history.things_at(network, owner=RED, revision=young.revision)
    assert {getattr(one, "name", "") for one in told.values()} >= {"old", "young"}
    assert "newer" not in {getattr(one, "name", "") for one in told.values()}


async def test_what_was_let_go_is_told_as_not_known(network: Network) -> None:
    await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
    old = await ports.create_port(network, owner=RED, name="old")
    await retention(network).once()
    await ports.create_port(network, owner=RED, name="young")
    pass_days(network, 11)
    await retention(network).once()

    with pytest.raises(Refusal, match="REVISION_NOT_KNOWN"):
        await history.things_at(network, owner=RED, revision=old.revision - 1)


async def test_marks_do_not_pile_up(network: Network) -> None:
    await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
    for _ in range(40):
        await retention(network).once()
        pass_days(network, 1)

    assert len((await network.store.range(keys.journal_mark())).records) <= 12


async def test_for_ever_is_for_ever(network: Network) -> None:
    await retention(network, journal_days=0).run()
    assert not (await network.store.range(keys.journal_mark())).records


async def test_refusals_have_a_time_of_their_own(network: Network) -> None:
    await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
    refusal = codes.PORT_NOT_FOUND.refusal("no")
    await network.store.commit(Transaction((), (audit.refusal_of(network, Author("ada"), str(RED), refusal, 0),)))
    await retention(network, 0, 10).once()
    await ports.create_port(network, owner=RED, name="later")
    pass_days(network, 11)

    assert await retention(network, 30, 20).once() == 0
    assert await retention(network, 0, 10).once() == 1
    assert not (await network.store.range(keys.audit())).records
    assert await revisions(network)


async def test_who_does_not_lead_lets_go_of_nothing(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weftwork.controller.retention.FIRST_S", 0)
    following = Retention(network.store, network.clock, Kept(10, 10), leads=lambda: False)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await following.run()
    assert not (await network.store.range(keys.journal_mark())).records
