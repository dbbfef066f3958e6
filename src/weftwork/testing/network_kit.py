"""A network without hosts: real actions over a real store, and a clock that tests move."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from weftwork.actions.integrity import Orphan, orphans
from weftwork.actions.network import Network, NetworkSettings, ReservedRange
from weftwork.actions.view import IntentView
from weftwork.base.codes import ALL
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ROOT
from weftwork.seams.store import Record, Store, Transaction
from weftwork.store.passing import PassingStore
from weftwork.store.sqlite import SqliteStore

RED = ProjectKey("red", "web")
BLUE = ProjectKey("blue", "web")

SETTINGS = NetworkSettings(
    reserved=(ReservedRange(IPv4Network("10.255.0.0/16"), "the hosts' own network"),),
    external=(IPv4Network("198.51.100.0/29"),),
    external_gateway=IPv4Address("198.51.100.1"),
)
"""Five external addresses: .2 to .6."""


class HandClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.time_s = 1_700_000_000

    def now_s(self) -> int:
        return self.time_s


class Intercepted(PassingStore):
    """A store where something happens just before the next commit arrives."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.first: Callable[[], Awaitable[object]] | None = None

    async def commit(self, transaction: Transaction) -> int:
        first, self.first = self.first, None
        if first is not None:
            await first()
        return await self._store.commit(transaction)


@asynccontextmanager
async def network_on(store: Store, settings: NetworkSettings = SETTINGS) -> AsyncIterator[Network]:
    """One process' network over a store; several over the same store are several servers."""
    view = IntentView()
    await view.start(store)
    try:
        yield Network(store, view, HandClock(), settings)
    finally:
        await view.close()


@asynccontextmanager
async def network_at(directory: Path, settings: NetworkSettings = SETTINGS) -> AsyncIterator[Network]:
    store = await SqliteStore.open(directory / "weft.db")
    try:
        async with network_on(store, settings) as network:
            yield network
    finally:
        await store.close()


async def content(store: Store) -> tuple[Record, ...]:
    """Everything of networks, to see whether anything changed."""
    return (await store.range(ROOT)).records


async def leaks(store: Store) -> tuple[Orphan, ...]:
    return orphans(await content(store))


@asynccontextmanager
async def refused(network: Network, code: str, *words: str) -> AsyncIterator[None]:
    """The call inside is refused with this code and words, tells what to do, and changes nothing."""
    before = await content(network.store)
    try:
        yield
    except Refusal as refusal:
        assert refusal.code == code, f"{refusal.code} instead of {code}: {refusal.message}"
        assert code in ALL, f"{code} is not listed in base/codes"
        assert refusal.kind is ALL[code].kind
        assert refusal.hint
        said = " ".join((refusal.message, *refusal.details.values()))
        missing = [word for word in words if word not in said]
        assert not missing, f"{missing} is not in {said!r}"
    else:
        raise AssertionError(f"the call succeeded, {code} was expected")
    assert await content(network.store) == before
