"""Following a project: whoever starts anywhere and goes on where they were holds what is there, through either door."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from api_world import THEIRS, World, world
from test_rest import PROJECT, rest_of

from weftwork.api import watching
from weftwork.rpc.generated.weftwork.v1 import watch_pb2 as pb

PATIENCE_S = 5


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@pytest.fixture
async def rest(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_of(here) as client:
        yield client


@asynccontextmanager
async def watched(
    rest: httpx.AsyncClient, *, last: str = "", **asked: Any
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """The ids and the data of the events."""
    headers = {"last-event-id": last} if last else {}

    async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        mark = ""
        async for line in answer.aiter_lines():
            kind, _, text = line.partition(": ")
            if kind == "id":
                mark = text
            elif kind == "data":
                yield mark, json.loads(text)
                mark = ""

    async with (
        asyncio.timeout(PATIENCE_S),
        rest.stream("GET", f"{PROJECT}:watch", params=asked, headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield events(answer)


class Copy:
    """What a follower holds."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.last = ""
        self.seen: list[str] = []

    def take(self, mark: str, event: dict[str, Any]) -> None:
        for change in event["changes"]:
            key = (change["resource"]["kind"], change["resource"]["id"])
            if change["deleted"]:
                self.things.pop(key, None)
            else:
                self.things[key] = next(iter(change["thing"].values()))
        if mark:
            self.last = mark
            self.seen.append(mark)


async def present(rest: httpx.AsyncClient) -> dict[str, str]:
    """The ports by name, and at which revision they are."""
    return {port["name"]: port["revision"] for port in (await rest.get(f"{PROJECT}/ports")).json()["ports"]}


async def test_first_comes_everything_and_then_each_change(here: World, rest: httpx.AsyncClient) -> None:
    async with watched(rest) as events:
        mark, first = await anext(events)
        await here.client.create_subnet("acme/web", "late")
        _, then = await anext(events)
        await here.client.delete_subnet("acme/web", "late")
        _, gone = await anext(events)

    kinds = {change["resource"]["kind"] for change in first["changes"]}
    assert kinds == {"vpc", "subnet", "port", "security-group", "snat", "dnat", "network-policy", "reach-test"}
    assert first["as_it_is"] and mark == first["revision"]
    assert {change["resource"]["id"] for change in then["changes"]} == {"late", ""}, "with its VPC, which counts it"
    assert [change["deleted"] for change in gone["changes"] if change["resource"]["kind"] == "subnet"] == [True]


async def test_who_lost_the_connection_again_and_again_holds_what_is_there(
    here: World, rest: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "TOLD_AT_ONCE", 2)
    copy = Copy()

    async def change() -> None:
        for at in range(12):
            await here.client.create_port("acme/web", name=f"n{at}", subnet="data")
            if at % 3 == 0:
                await here.client.delete_port("acme/web", f"n{at}")
        await here.client.delete_subnet("acme/web", "data", cascade=True)
        await here.client.create_port("acme/web", name="end")

    changing = asyncio.create_task(change())
    while not any(one.get("name") == "end" for one in copy.things.values()):
        async with watched(rest, last=copy.last, kinds="port") as events:
            for _ in range(2):
                mark = ""
                while not mark:
                    mark, event = await anext(events)
                    copy.take(mark, event)
                if any(one.get("name") == "end" for one in copy.things.values()):
                    break
    await changing

    assert {one["name"]: one["revision"] for one in copy.things.values()} == await present(rest)
    assert copy.seen == sorted(set(copy.seen), key=int), "in order, and none twice"


async def test_one_change_is_told_as_one(here: World, rest: httpx.AsyncClient) -> None:
    async with watched(rest, kinds=["port", "subnet"]) as events:
        await anext(events)
        await here.client.delete_subnet("acme/web", "data", cascade=True)
        _, event = await anext(events)

    assert {change["resource"]["kind"] for change in event["changes"]} == {"port", "subnet"}


async def test_a_follower_sees_nothing_of_others_but_how_far_it_is(
    here: World, rest: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "QUIET_MAX", 3)
    async with watched(rest) as events:
        first, _ = await anext(events)
        for at in range(4):
            await here.client.create_port(THEIRS, name=f"n{at}")
        mark, quiet = await anext(events)

    assert quiet["changes"] == []
    assert int(mark) > int(first)


async def test_history_that_is_gone_is_said(here: World, rest: httpx.AsyncClient) -> None:
    start = here.network.view.revision
    await here.client.create_port("acme/web", name="n1")
    await here.store.compact(here.network.view.revision)
    too_old = await rest.get(f"{PROJECT}:watch", headers={"last-event-id": str(start)})
    not_yet = await rest.get(f"{PROJECT}:watch", params={"after": 10**9})
    no_number = await rest.get(f"{PROJECT}:watch", headers={"last-event-id": "x"})

    assert (too_old.status_code, too_old.json()["code"]) == (410, "HISTORY_COMPACTED")
    assert (not_yet.status_code, not_yet.json()["code"]) == (410, "HISTORY_COMPACTED")
    assert (no_number.status_code, no_number.json()["code"]) == (400, "INVALID_HEADER")


async def test_a_peers_half_makes_ours_active(here: World, rest: httpx.AsyncClient) -> None:
    await here.client.create_vpc("acme/shop", cidr="10.50.0.0/16")
    await here.client.create_peering("acme/web", "acme/shop")
    async with watched(rest, kinds="peering") as events:
        _, first = await anext(events)
        await here.client.create_peering("acme/shop", "acme/web")
        _, then = await anext(events)

    states = [event["changes"][0]["thing"]["peering"]["state"] for event in (first, then)]
    assert states == ["STATE_PENDING", "STATE_ACTIVE"]


async def test_the_other_door_watches_too(here: World) -> None:
    watch = here.channel.unary_stream(
        watching.WATCH,
        request_serializer=pb.WatchRequest.SerializeToString,
        response_deserializer=pb.WatchEvent.FromString,
    )
    after = here.network.view.revision
    await here.client.create_port("acme/web", name="n1")
    events = watch(pb.WatchRequest(org_id="acme", project_id="web", after=after), timeout=PATIENCE_S)
    event = await anext(aiter(events))
    events.cancel()
    future = watch(pb.WatchRequest(org_id="acme", project_id="web", after=10**9), timeout=PATIENCE_S)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(aiter(future))

    assert event.changes[0].thing.port.name == "n1"
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
