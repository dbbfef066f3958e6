"""A batch that somebody else's change overtakes is decided anew, and waits for nobody but others."""

import asyncio
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from weftwork.actions import ports, reach_tests, vpcs
from weftwork.actions.batch import run_batch
from weftwork.actions.network import Network
from weftwork.actions.reach_tests import Wanted
from weftwork.model.reach_test import Must, PortRef
from weftwork.model.security_group import PortRange, Protocol
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import RED, Intercepted, leaks, network_on


def wanted(name: str) -> Wanted:
    return Wanted(name, Must.NOT_REACH, PortRef("p"), PortRef("q"), Protocol.TCP, PortRange(81, 81))


async def test_the_last_reach_test_goes_while_a_batch_that_makes_another_is_under_way(tmp_path: Path) -> None:
    """Its guard goes with it, which the batch then has to set up itself, alone in the project."""
    store = await SqliteStore.open(tmp_path / "weft.db")
    meddled = Intercepted(store)
    async with network_on(store) as other, network_on(meddled) as network:
        await vpcs.create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.1.0.0/16"))
        for name in ("p", "q"):
            await ports.create_port(network, owner=RED, name=name)
        await reach_tests.create_reach_test(network, owner=RED, wanted=wanted("old"))
        await other.view.wait_for(network.view.revision)
        meddled.first = partial(reach_tests.delete_reach_test, other, owner=RED, test="old")

        async def make(on: Network) -> object:
            return await reach_tests.create_reach_test(on, owner=RED, wanted=wanted("new"))

        async with asyncio.timeout(10):
            await run_batch(network, [make])

        assert set(network.view.intent[RED].reach_tests) == {"new"}
        assert await leaks(store) == ()
    await store.close()
