"""A server that is killed between a change and the end of its time: the next one undoes it, soon or at once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from weftwork.client import ApiError, Client
from weftwork.testing import patience

PROJECT = "acme/shop"
WAIT_S = 30 * patience.FACTOR


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[Client, int]]:
    """Killed in the end, without a chance to tidy up."""
    where = f"unix:{folder}/s"
    command = [sys.executable, "-m", "weftwork.apps.weft", "server", "--store", str(folder / "db"), "--socket"]
    with _started([*command, f"{folder}/s", "--listen-addr", "", "--rest-listen", "", "--rest-socket", ""]) as process:
        try:
            async with await _connected(where) as client:
                yield client, process.pid
        finally:
            os.kill(process.pid, signal.SIGKILL)


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def _connected(where: str) -> Client:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            client = await Client.connect(where)
            if await client.is_serving():
                return client
            await client.close()
        except ApiError:
            pass
        assert time.monotonic() < deadline, "the server does not come up"
        await asyncio.sleep(0.05)


async def _state(client: Client, name: str) -> str:
    (found,) = [one for one in await client.list_confirmations(PROJECT) if one.name == name]
    return found.State.Name(found.state)


async def _becomes(client: Client, name: str, wanted: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while await _state(client, name) != wanted:
        assert time.monotonic() < deadline, await _state(client, name)
        await asyncio.sleep(0.05)


async def _groups(client: Client) -> set[str]:
    return {one.name async for one in client.list_security_groups(PROJECT)}


async def test_a_change_undoes_itself_over_a_kill_before_and_after_its_deadline(tmp_path: Path) -> None:
    async with server(tmp_path) as (client, _):
        await client.create_vpc(PROJECT)
        await client.create_security_group(PROJECT, "stays").until_confirmed("kept", within_s=3)
        await client.confirm(PROJECT, "kept")
        await client.create_security_group(PROJECT, "soon").until_confirmed("soon", within_s=3)
        await client.create_security_group(PROJECT, "later").until_confirmed("later", within_s=3600)
        (soon,) = [one for one in await client.list_confirmations(PROJECT) if one.name == "soon"]
    while time.time() < soon.deadline:
        await asyncio.sleep(0.05)

    async with server(tmp_path) as (client, _):
        await _becomes(client, "soon", "STATE_UNDONE")
        assert await _groups(client) == {"default", "stays", "later"}
        assert await _state(client, "later") == "STATE_PENDING"
        await client.create_security_group(PROJECT, "next").until_confirmed("next", within_s=2)

    async with server(tmp_path) as (client, _):
        await _becomes(client, "next", "STATE_UNDONE")
        assert await _groups(client) == {"default", "stays", "later"}
        await client.confirm(PROJECT, "later")
        assert await _state(client, "kept") == "STATE_CONFIRMED"


async def test_a_probe_that_fails_undoes_a_change_long_before_its_time(tmp_path: Path) -> None:
    async with server(tmp_path) as (client, _):
        await client.create_vpc(PROJECT)
        for name in ("p", "q"):
            await client.create_port(PROJECT, name=name, vm=name)
        change = client.set_security_groups(PROJECT, "q", [])
        await change.until_confirmed("c", within_s=3600, probes=["from p to q tcp/80"])

        await _becomes(client, "c", "STATE_UNDONE")

        assert list((await client.get_port(PROJECT, "q")).security_group_ids) != []
