"""Changes that are answered when the hosts have made them so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from api_world import NoHostInsight, World, world
from test_rest import PROJECT

from weftwork.api.rest.server import serve_rest
from weftwork.api.server import serve
from weftwork.model.keys import ThingKey
from weftwork.seams.conditions import Condition, ConditionChange, Status


class ALateHost:
    """Makes everything so, a moment after it was accepted; `is_away`: it never does."""

    def __init__(self, here: World) -> None:
        self.is_away = False
        self._view = here.network.view
        self._done: dict[ThingKey, int] = {}

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        if not revision:
            return ()
        status = Status.TRUE if self._done.get(key, 0) >= revision else Status.FALSE
        return (Condition("Programmed", status, "", "", revision, 0),)

    async def watch(self) -> AsyncIterator[ConditionChange]:
        async for change in self._view.subscribe():
            await asyncio.sleep(0.02)
            for key in () if self.is_away else change.keys:
                revision = self._done[key] = self._view.revision_of(key)
                yield ConditionChange(key, self.of(key, revision))


@asynccontextmanager
async def rest_over(here: World, host: ALateHost) -> AsyncIterator[httpx.AsyncClient]:
    address = f"unix:{here.address}.late".replace("unix:unix:", "unix:")
    async with (
        await serve(network=here.network, conditions=host, insight=NoHostInsight(), addresses=[address]) as server,
        await serve_rest(server.calls, ["127.0.0.1:0"]) as doors,
        httpx.AsyncClient(base_url=f"http://{doors.addresses[0]}") as client,
    ):
        yield client


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


async def test_an_answer_comes_when_the_host_is_ready(here: World) -> None:
    async with rest_over(here, ALateHost(here)) as rest:
        at_once = await rest.post(f"{PROJECT}/ports", json={"name": "fast"})
        made = await rest.post(f"{PROJECT}/ports?wait=Programmed&timeout=5", json={"name": "sure"})
        changed = await rest.post(f"{PROJECT}/ports/sure:attach?wait=Programmed", json={"vm_id": "vm-9"})
        gone = await rest.delete(f"{PROJECT}/ports/sure?wait=Programmed&timeout=5")

    assert [one.json()["conditions"][0]["status"] for one in (at_once, made, changed)] == [
        "STATUS_FALSE",
        "STATUS_TRUE",
        "STATUS_TRUE",
    ]
    assert (made.status_code, changed.status_code, gone.status_code) == (201, 200, 204)


async def test_when_the_time_is_over_the_change_stays_and_the_answer_says_so(here: World) -> None:
    host = ALateHost(here)
    host.is_away = True
    async with rest_over(here, host) as rest:
        made = await rest.post(f"{PROJECT}/ports?wait=Programmed&timeout=0.05", json={"name": "late"})
        there = await rest.get(f"{PROJECT}/ports/late")
        gone = await rest.delete(f"{PROJECT}/ports/late?wait=Programmed&timeout=0.05")

    assert (made.status_code, there.status_code, gone.status_code) == (202, 200, 202)
    assert made.json()["id"] == there.json()["id"]


async def test_a_refusal_does_not_wait(here: World) -> None:
    async with rest_over(here, ALateHost(here)) as rest:
        refused = await rest.delete(f"{PROJECT}/ports/nobody?wait=Programmed")
        condition = await rest.delete(f"{PROJECT}/ports/p2?wait=Perfect")
        nothing = await rest.post(f"{PROJECT}/reach-tests:apply?wait=Programmed", json={"tests": []})
        how_long = await rest.delete(f"{PROJECT}/ports/p2?timeout=3")
        too_long = await rest.delete(f"{PROJECT}/ports/p2?wait=Programmed&timeout=99999")

    assert refused.status_code == 404
    assert {one.status_code for one in (condition, nothing, how_long, too_long)} == {400}
