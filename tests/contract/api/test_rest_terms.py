"""Changes on terms: only if a thing is as it was, and only once. Both hold under races and over a restart."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from api_world import World, world
from test_rest import PROJECT, rest_of

from weftwork.actions.terms import KEPT_S, forget_old
from weftwork.model.keys import REQUESTS
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.store.sqlite.store import SqliteStore

GROUP = f"{PROJECT}/security-groups/web"
PORTS = f"{PROJECT}/ports"
MANY = 16


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@pytest.fixture
async def rest(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_of(here) as client:
        yield client


class Later:
    """A clock that is ahead."""

    def __init__(self, here: World, seconds: int) -> None:
        self._clock, self._seconds = here.network.clock, seconds

    def now_s(self) -> int:
        return self._clock.now_s() + self._seconds


def key(text: str) -> dict[str, str]:
    return {"idempotency-key": text}


async def test_a_thing_that_was_changed_meanwhile_is_left_alone(rest: httpx.AsyncClient) -> None:
    old = (await rest.get(GROUP)).headers["etag"]
    await rest.patch(GROUP, json={"description": "first"})
    late = await rest.patch(GROUP, json={"description": "second"}, headers={"if-match": old})
    now = await rest.get(GROUP)

    assert (late.status_code, late.json()["code"]) == (412, "REVISION_CHANGED")
    assert late.headers["etag"] == now.headers["etag"] != old
    assert now.json()["description"] == "first"


@pytest.mark.parametrize("tag", ["*", None])
async def test_a_thing_that_is_as_it_was_is_changed(rest: httpx.AsyncClient, tag: str | None) -> None:
    match = tag or (await rest.get(GROUP)).headers["etag"]
    changed = await rest.patch(GROUP, json={"description": "mine"}, headers={"if-match": match})

    assert changed.status_code == 200
    assert changed.headers["etag"] == f'"{changed.json()["revision"]}"' != match


async def test_of_many_who_saw_the_same_one_wins(rest: httpx.AsyncClient) -> None:
    match = (await rest.get(GROUP)).headers["etag"]
    answers = await asyncio.gather(
        *(rest.patch(GROUP, json={"description": str(at)}, headers={"if-match": match}) for at in range(MANY))
    )
    won = [one.json()["description"] for one in answers if one.status_code == 200]

    assert Counter(one.status_code for one in answers) == {200: 1, 412: MANY - 1}
    assert (await rest.get(GROUP)).json()["description"] == won[0]


async def test_a_deletion_is_refused_when_the_thing_was_changed(rest: httpx.AsyncClient) -> None:
    match = (await rest.get(f"{PORTS}/p2")).headers["etag"]
    await rest.post(f"{PORTS}/p2:setSecurityGroups", json={"security_group_ids": ["web"]})
    late = await rest.delete(f"{PORTS}/p2", headers={"if-match": match})

    assert late.status_code == 412
    assert (await rest.get(f"{PORTS}/p2")).status_code == 200


async def test_a_dry_run_heeds_the_terms(rest: httpx.AsyncClient) -> None:
    planned = await rest.delete(f"{PORTS}/p2", params={"dry_run": "plan"}, headers={"if-match": '"1"'})

    assert planned.status_code == 412


async def test_what_is_made_has_no_earlier_state(rest: httpx.AsyncClient) -> None:
    refused = await rest.post(PORTS, json={}, headers={"if-match": "*"})
    malformed = await rest.delete(f"{PORTS}/p2", headers={"if-match": "W/1"})

    assert refused.json()["code"] == malformed.json()["code"] == "INVALID_HEADER"


async def test_a_port_is_made_once_however_often_it_is_asked_for(here: World, rest: httpx.AsyncClient) -> None:
    before = len((await rest.get(PORTS)).json()["ports"])
    answers = await asyncio.gather(*(rest.post(PORTS, json={}, headers=key("k1")) for _ in range(MANY)))
    again = await rest.post(PORTS, json={}, headers=key("k1"))

    assert {one.status_code for one in (*answers, again)} == {201}
    assert len({one.json()["id"] for one in (*answers, again)}) == 1
    assert len({one.json()["revision"] for one in (*answers, again)}) == 1
    assert len((await rest.get(PORTS)).json()["ports"]) == before + 1


async def test_the_doors_share_their_memory(here: World, rest: httpx.AsyncClient) -> None:
    call = here.channel.unary_unary(
        "/overlay_network.v1.NetworkService/CreatePort",
        request_serializer=pb.CreatePortRequest.SerializeToString,
        response_deserializer=pb.Port.FromString,
    )
    made = await call(pb.CreatePortRequest(org_id="acme", project_id="web"), metadata=(("idempotency-key", "k1"),))
    again = await rest.post(PORTS, json={}, headers=key("k1"))

    assert again.json()["id"] == made.id


async def test_a_key_stands_for_one_request(rest: httpx.AsyncClient) -> None:
    await rest.post(PORTS, json={"name": "one"}, headers=key("k1"))
    other = await rest.post(PORTS, json={"name": "two"}, headers=key("k1"))

    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert (await rest.get(f"{PORTS}/two")).status_code == 404


@pytest.mark.parametrize("text", ["", "a b", "x" * 256])
async def test_a_key_that_cannot_be_one_is_refused(rest: httpx.AsyncClient, text: str) -> None:
    refused = await rest.post(PORTS, json={}, headers=key(text))

    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_HEADER")


async def test_a_deletion_that_is_repeated_has_happened(rest: httpx.AsyncClient) -> None:
    match = (await rest.get(f"{PORTS}/p2")).headers["etag"]
    headers = {**key("k1"), "if-match": match}
    first = await rest.delete(f"{PORTS}/p2", headers=headers)
    again = await rest.delete(f"{PORTS}/p2", headers=headers)

    assert (first.status_code, again.status_code) == (204, 204)


async def test_an_answer_that_changed_nothing_is_kept_too(rest: httpx.AsyncClient) -> None:
    first = await rest.post(PORTS, json={"name": "p1", "subnet_id": "default"}, headers=key("k1"))
    again = await rest.post(PORTS, json={"name": "p1", "subnet_id": "default"}, headers=key("k1"))

    assert first.json() == again.json()


async def test_a_refusal_is_not_kept(rest: httpx.AsyncClient) -> None:
    refused = await rest.post(PORTS, json={"subnet_id": "later"}, headers=key("k1"))
    await rest.post(f"{PROJECT}/subnets", json={"name": "later"})
    made = await rest.post(PORTS, json={"subnet_id": "later"}, headers=key("k1"))

    assert (refused.status_code, made.status_code) == (404, 201)


async def test_what_takes_two_steps_is_kept_as_a_whole(here: World, rest: httpx.AsyncClient) -> None:
    await rest.post("/v1/orgs/acme/projects/bare/vpc", json={})
    test = {
        "name": "t",
        "must": "MUST_NOT_REACH",
        "source": "internet",
        "destination": "group:default",
        "service": "all",
    }
    path = "/v1/orgs/acme/projects/bare/reach-tests:apply"
    first = await rest.post(path, json={"tests": [test]}, headers=key("k1"))
    again = await rest.post(path, json={"tests": [test]}, headers=key("k1"))

    assert first.json()["created"] == ["t"]
    assert again.json() == first.json()


async def test_a_file_that_is_applied_twice_with_one_key_answers_the_same_twice(rest: httpx.AsyncClient) -> None:
    text = (
        (await rest.get(f"{PROJECT}:export")).json()["text"].replace("security_groups:", "security_groups:\n  new: {}")
    )
    body = {"files": [{"name": "shop.yaml", "text": text}]}

    first, again = [await rest.post(f"{PROJECT}:apply", json=body, headers=key("k1")) for _ in range(2)]
    unchanged, once_more = [await rest.post(f"{PROJECT}:apply", json=body, headers=key("k2")) for _ in range(2)]

    assert first.status_code == 200 and first.json()["changes"]
    assert again.json() == first.json()
    assert once_more.json() == unchanged.json() and not unchanged.json().get("changes")


async def test_an_answer_survives_the_server(tmp_path: Path) -> None:
    async with world(tmp_path) as here, rest_of(here) as rest:
        made = await rest.post(PORTS, json={}, headers=key("k1"))
    store = await SqliteStore.open(tmp_path / "store.db")
    kept = await store.range(REQUESTS)
    await store.close()

    assert sum(made.json()["id"] in one.value.decode() for one in kept.records) == 1


async def test_answers_are_forgotten_after_a_day(here: World, rest: httpx.AsyncClient) -> None:
    first = await rest.post(PORTS, json={}, headers=key("k1"))
    answers = len((await here.store.range(REQUESTS)).records)
    kept = await forget_old(here.store, Later(here, KEPT_S - 60))
    forgotten = await forget_old(here.store, Later(here, KEPT_S + 60))
    again = await rest.post(PORTS, json={}, headers=key("k1"))

    assert (kept, forgotten) == (0, answers)
    assert first.json()["id"] != again.json()["id"]
