"""One leads; another takes over when it is gone, within the lease; never do two believe that they lead."""

import asyncio
import time

import pytest
from store_kinds import Place

from weftwork.seams.lease import Leadership
from weftwork.seams.store import Store
from weftwork.store.etcd import EtcdStore
from weftwork.store.etcd.lease import EtcdLeadership
from weftwork.store.postgres import PostgresStore
from weftwork.store.postgres.lease import PostgresLeadership
from weftwork.store.term import LeasedTerm
from weftwork.testing.patience import patient

LEASE_S = 2


@pytest.fixture(params=["etcd", "postgres"])
def shared(request: pytest.FixtureRequest) -> Place:
    server: Place = request.getfixturevalue(f"{request.param}_server")
    return server.fresh()


def leadership_of(store: Store) -> Leadership:
    if isinstance(store, EtcdStore):
        return EtcdLeadership(store, LEASE_S)
    assert isinstance(store, PostgresStore)
    return PostgresLeadership(store, LEASE_S)


def test_one_leads_and_who_resigns_is_followed_at_once_by_a_later_term(shared: Place) -> None:
    async def story() -> None:
        stores = [await shared.open() for _ in range(3)]
        waiting = [asyncio.create_task(leadership_of(store).elected()) for store in stores]
        numbers = []
        for _ in stores:
            done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=patient(10))
            (elected,) = done
            term = elected.result()
            assert term.is_held()
            # Twice as long as a lease: it is kept.
            if rest:
                await asyncio.wait(rest, timeout=2 * LEASE_S if not numbers else 0.3)
            assert term.is_held()
            assert not any(task.done() for task in rest)
            numbers.append(term.number)
            before = time.monotonic()
            await term.resign()
            assert not term.is_held()
            waiting = list(rest)
        assert numbers == sorted(set(numbers))
        assert time.monotonic() - before < LEASE_S
        for store in stores:
            await store.close()

    asyncio.run(story())


def test_a_leader_that_falls_silent_knows_first_and_then_another_one_leads(shared: Place) -> None:
    """As a process that is stopped: it renews nothing, and resigns from nothing."""

    async def story() -> None:
        stores = [await shared.open() for _ in range(2)]
        old = await leadership_of(stores[0]).elected()
        assert isinstance(old, LeasedTerm)
        next_one = asyncio.create_task(leadership_of(stores[1]).elected())
        await asyncio.sleep(0)
        old._keeping.cancel()
        await asyncio.gather(old._keeping, return_exceptions=True)
        silent_at = time.monotonic()
        async with asyncio.timeout(patient(5 * LEASE_S)):
            await asyncio.wait([next_one])
        assert not old.is_held()
        new = next_one.result()
        assert new.is_held()
        assert new.number > old.number
        print(f"{shared.kind}: taken over {time.monotonic() - silent_at:.1f} s after the last renewal, at most")
        await old.resign()
        await asyncio.sleep(0.2)
        assert new.is_held(), "who resigns late takes nothing from the next"
        await new.resign()
        for store in stores:
            await store.close()

    asyncio.run(story())
