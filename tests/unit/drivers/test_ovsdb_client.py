"""The client of OVSDB against a server that says exactly what a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from weftwork.base.errors import Failure
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint

ROW = "11111111-1111-1111-1111-111111111111"
NAMES = {"key": "string", "min": 0, "max": "unlimited"}
SCHEMA = {"tables": {"Set": {"columns": {"name": {"type": "string"}, "members": {"type": NAMES}}}}}


@asynccontextmanager
async def serving(path: Path, after_monitor: list[Mapping[str, Any]], *, leader: bool = True) -> AsyncIterator[Client]:
    """`after_monitor` follows the answer to `monitor_cond` in the same piece."""
    database = {"name": "Toy", "model": "clustered", "leader": leader}

    def answer(message: Mapping[str, Any]) -> bytes:
        results = {
            "transact": [{"rows": [database]}],
            "get_schema": SCHEMA,
            "monitor": {},
            "monitor_cond": {"Set": {ROW: {"initial": {"name": "one", "members": "a"}}}},
            "echo": message["params"],
        }
        told = [{"id": message["id"], "result": results[message["method"]], "error": None}]
        told += after_monitor if message["method"] == "monitor_cond" else []
        return "".join(map(json.dumps, told)).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = ""
        while data := await reader.read(65536):
            text += data.decode()
            while text:
                try:
                    message, end = json.JSONDecoder().raw_decode(text)
                except json.JSONDecodeError:
                    break
                text = text[end:]
                writer.write(answer(message))
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    client = Client((Endpoint("unix", str(path)),), "Toy", {"Set": ("name", "members")})
    try:
        yield client
    finally:
        await client.close()
        server.close()


def update(change: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id": None, "method": "update2", "params": ["Toy", {"Set": {ROW: change}}]}


async def test_a_change_right_behind_the_first_answer_is_not_lost_under_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "db", [update({"modify": {"members": "b"}})]) as client:
        (row,) = (await client.rows("Set")).values()
        await client.catch_up()
        (row,) = (await client.rows("Set")).values()
    assert row == {"name": "one", "members": frozenset({"a", "b"})}


async def test_a_row_that_goes_is_gone_from_the_copy(tmp_path: Path) -> None:
    async with serving(tmp_path / "db", [update({"delete": None})]) as client:
        await client.catch_up()
        assert await client.rows("Set") == {}


async def test_a_change_of_a_row_that_nobody_told_of_ends_the_connection(tmp_path: Path) -> None:
    """A copy that lacks a row must not go on as if it were whole."""
    with pytest.raises(Failure) as caught:
        async with serving(tmp_path / "db", [update({"delete": None}), update({"modify": {"members": "b"}})]) as client:
            async with asyncio.timeout(5):
                await client.catch_up()
    assert caught.value.code == "OVN_CONNECTION_FAILED"


async def test_who_does_not_lead_is_not_asked(tmp_path: Path) -> None:
    async with serving(tmp_path / "db", [], leader=False) as client:
        with pytest.raises(Failure, match="not the leader"):
            await client.rows("Set")


async def test_a_server_that_no_longer_leads_is_left(tmp_path: Path) -> None:
    gone = {"name": "Toy", "model": "clustered", "leader": False}
    told = {"id": None, "method": "update", "params": ["leadership", {"Database": {ROW: {"new": gone}}}]}
    with pytest.raises(Failure):
        async with serving(tmp_path / "db", [told]) as client:
            await client.rows("Set")
            await client.catch_up()
