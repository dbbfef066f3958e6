"""A store that the benchmarks filled is one that a server could have written."""

from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

from bench.filling import CIDR, fill, owner_of, port_id
from weftwork.actions.integrity import orphans
from weftwork.actions.network import Network
from weftwork.actions.ports import create_port
from weftwork.actions.view import IntentView
from weftwork.actions.vpcs import create_vpc
from weftwork.model.keys import ROOT
from weftwork.seams.store import Record
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import SETTINGS, HandClock

PROJECTS, PORTS = 3, 4


async def test_the_rows_are_those_that_a_server_writes(tmp_path: Path) -> None:
    async def by_a_server(store: SqliteStore) -> None:
        ids = (port_id(project, port) for project in range(PROJECTS) for port in range(PORTS))
        view = IntentView()
        await view.start(store)
        network = Network(store, view, HandClock(), SETTINGS, lambda: next(ids))
        for number in range(PROJECTS):
            await create_vpc(network, owner=owner_of(number), name="", cidr=CIDR)
            for one in range(PORTS):
                await create_port(network, owner=owner_of(number), name=f"port{one}", vm=f"vm{one}")
        await view.close()

    fill(tmp_path / "filled" / "store.db", PROJECTS, PORTS, at_s=HandClock().time_s)
    filled, served = await _rows(tmp_path / "filled"), await _rows(tmp_path / "served", by_a_server)

    assert filled == served
    assert len(filled) > PROJECTS * PORTS * 6
    assert orphans(filled) == ()


async def test_a_server_goes_on_over_a_filled_store(tmp_path: Path) -> None:
    async def one_more(store: SqliteStore) -> None:
        view = IntentView()
        await view.start(store)
        numbers = count()
        network = Network(store, view, HandClock(), SETTINGS, lambda: f"new-{next(numbers)}")
        made = await create_port(network, owner=owner_of(0), name="another")
        await view.close()
        assert made.revision > PROJECTS * (PORTS + 2)
        assert {one.id for one in view.intent[owner_of(0)].ports.values()} > {made.value.id, port_id(0, 0)}

    fill(tmp_path / "store.db", PROJECTS, PORTS)
    assert orphans(await _rows(tmp_path, one_more)) == ()


async def _rows(folder: Path, meanwhile: Callable[[SqliteStore], Awaitable[None]] | None = None) -> tuple[Record, ...]:
    store = await SqliteStore.open(folder / "store.db")
    try:
        if meanwhile:
            await meanwhile(store)
        return (await store.range(ROOT)).records
    finally:
        await store.close()
