"""A server whose view comes a moment after the others' refuses nothing for that reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from weftwork.actions.ports import create_port
from weftwork.actions.vpcs import create_vpc
from weftwork.base.errors import Refusal
from weftwork.seams.store import Change, Store
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import BLUE, RED, Intercepted, network_on


class Late(Intercepted):
    """Its watches are told of nothing until somebody catches up, and then at once."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._told = asyncio.Event()

    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        await self._told.wait()
        async for change in super().watch(prefix, after=after):
            yield change

    async def catch_up(self, prefix: str) -> int:
        self._told.set()
        newest = (await self.range("", limit=1)).revision
        for _ in range(50):
            await asyncio.sleep(0)  # The view may have caught up before the store's answer is here.
        return newest


async def test_what_another_server_made_is_found_and_what_is_not_there_is_refused(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        store = await SqliteStore.open(tmp_path / "weft.db")
        stack.push_async_callback(store.close)
        first = await stack.enter_async_context(network_on(store))
        second = await stack.enter_async_context(network_on(Late(store)))
        await create_vpc(first, owner=RED, name="", cidr=None)
        assert second.view.project(RED) is None

        port = await create_port(second, owner=RED)

        assert port.value.owner == RED
        with pytest.raises(Refusal) as refused:
            await create_port(second, owner=BLUE)
        assert refused.value.code == "VPC_NOT_FOUND"
