from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from weftwork.actions.network import Network
from weftwork.testing.network_kit import network_at


@pytest_asyncio.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with network_at(tmp_path) as one:
        yield one
