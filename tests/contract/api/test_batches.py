"""Several changes as one, over HTTP: all or nothing, told with the revision of them all, and not done twice."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from api_world import world

from weftwork.api.mutations import ANSWERS, MUTATIONS
from weftwork.api.operations import answer_class
from weftwork.api.rest.server import serve_rest

OURS = {"org_id": "acme", "project_id": "web"}
PATH = "/v1/orgs/acme/projects/web"


@pytest_asyncio.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        world(tmp_path) as here,
        await serve_rest(here.calls, ["127.0.0.1:0"]) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[0]}") as client,
    ):
        yield client


def subnet_with_port(port: str = "new1") -> dict[str, Any]:
    return {
        "mutations": [
            {"create_subnet": {**OURS, "name": "fresh", "dhcp_enabled": True}},
            {"create_port": {**OURS, "subnet_id": "fresh", "name": port}},
        ]
    }


async def test_what_a_step_makes_the_next_one_uses_and_both_have_one_revision(http: httpx.AsyncClient) -> None:
    told = (await http.post("/v1:batch", json=subnet_with_port())).json()

    subnet, port = (one[kind] for one, kind in zip(told["results"], ("subnet", "port"), strict=True))
    assert port["subnet_id"] == subnet["id"]
    assert {told["revision"], subnet["revision"], port["revision"]} == {told["revision"]}
    assert (await http.get(f"{PATH}/ports/new1")).json()["revision"] == told["revision"]


async def test_a_refused_step_is_named_and_the_others_are_not_done(http: httpx.AsyncClient) -> None:
    body = subnet_with_port()
    body["mutations"].append({"delete_port": {**OURS, "port_id": "absent"}})

    answer = await http.post("/v1:batch", json=body)

    assert (answer.status_code, answer.json()["code"]) == (404, "PORT_NOT_FOUND")
    assert answer.json()["details"]["step"] == "3"
    assert (await http.get(f"{PATH}/subnets/fresh")).status_code == 404


async def test_a_batch_that_comes_again_is_answered_again_and_done_once(http: httpx.AsyncClient) -> None:
    answers = [
        (await http.post("/v1:batch", json=subnet_with_port(), headers={"Idempotency-Key": "k1"})).json()
        for _ in range(2)
    ]

    assert answers[0]["revision"] == answers[1]["revision"]
    ids = [[one.get(kind, {}).get("id") for one in told["results"] for kind in ("subnet", "port")] for told in answers]
    assert ids[0] == ids[1]
    revisions = {one[kind]["revision"] for told in answers for one in told["results"] for kind in one}
    assert revisions == {answers[0]["revision"]}


async def test_a_batch_is_planned_like_any_other_change(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1:batch", params={"dry_run": "plan"}, json=subnet_with_port())
    refused = await http.post("/v1:batch", params={"dry_run": "plan"}, json={"mutations": []})

    assert answer.status_code == 200 and "objects" in answer.json()
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_BATCH")
    assert (await http.get(f"{PATH}/subnets/fresh")).status_code == 404


def test_a_batch_can_tell_what_every_change_answers() -> None:
    alone = {"batch", "rollback"}
    kinds = {answer_class(one.method).DESCRIPTOR.full_name for name, one in MUTATIONS.items() if name not in alone}
    assert kinds <= ANSWERS.keys()
