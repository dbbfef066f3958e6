"""The REST door as its callers meet it: over a real server and a real store, beside gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from api_world import World, world

from weftwork.api.calls import MESSAGE_BYTES_MAX
from weftwork.api.rest import door, protocol
from weftwork.api.rest.protocol import HEAD_BYTES_MAX
from weftwork.api.rest.server import serve_rest

PROJECT = "/v1/orgs/acme/projects/web"
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def rest_of(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        await serve_rest(here.calls, ["127.0.0.1:0"]) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[0]}") as client,
    ):
        yield client


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@pytest.fixture
async def rest(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_of(here) as client:
        yield client


async def test_what_is_made_by_one_door_is_seen_through_the_other(here: World, rest: httpx.AsyncClient) -> None:
    made = await rest.post(f"{PROJECT}/ports", json={"name": "fresh", "subnet_id": "data"})
    through_grpc = await here.client.get_port("acme/web", "fresh")
    read = await rest.get(f"{PROJECT}/ports/fresh")

    assert made.status_code == 201
    assert made.json()["id"] == through_grpc.id == read.json()["id"]
    assert read.json()["revision"] == str(through_grpc.revision)


async def test_an_id_with_slashes_may_stand_in_a_path(rest: httpx.AsyncClient) -> None:
    read = await rest.get(f"{PROJECT}/subnets/acme%2Fweb%2Fdata")

    assert read.json()["name"] == "data"


async def test_a_deletion_answers_with_nothing(rest: httpx.AsyncClient) -> None:
    made = await rest.post(f"{PROJECT}/subnets", json={"name": "spare"})
    gone = await rest.delete(f"{PROJECT}/subnets/spare")

    assert (made.status_code, gone.status_code, gone.content) == (201, 204, b"")
    assert (await rest.get(f"{PROJECT}/subnets/spare")).status_code == 404


async def test_a_patch_changes_the_fields_it_names(rest: httpx.AsyncClient) -> None:
    before = (await rest.get(f"{PROJECT}/security-groups/web")).json()
    after = await rest.patch(f"{PROJECT}/security-groups/web", json={"description": "for the web"})

    assert after.json()["description"] == "for the web"
    assert after.json()["ingress_rules"] == before["ingress_rules"] != []


async def test_a_dry_run_says_what_would_change_and_changes_nothing(here: World, rest: httpx.AsyncClient) -> None:
    before = await here.records()
    planned = await rest.delete(f"{PROJECT}/ports/p2", params={"dry_run": "plan"})

    assert planned.status_code == 200
    assert any("ports" in one for one in planned.json()["objects"])
    assert await here.records() == before


async def test_a_dnat_is_named_by_what_is_outside(rest: httpx.AsyncClient) -> None:
    dnat = (await rest.get(f"{PROJECT}/dnats")).json()["dnats"][0]
    gone = await rest.delete(f"{PROJECT}/dnats/{dnat['external_ip']}/{dnat['external_port']}/tcp")

    assert gone.status_code == 204
    assert (await rest.get(f"{PROJECT}/dnats")).json()["dnats"] == []


async def test_waiting_for_a_condition_takes_a_thing_in_the_query(rest: httpx.AsyncClient) -> None:
    met = await rest.get(f"{PROJECT}/conditions:wait", params={"kind": "port", "id": "p1", "type": "Accepted"})

    assert met.json()["met"] is True


async def test_a_watch_tells_events(rest: httpx.AsyncClient) -> None:
    async with rest.stream("GET", f"{PROJECT}/conditions:watch", params={"kind": "port", "id": "p1"}) as events:
        async with asyncio.timeout(5):
            line = await anext(events.aiter_lines())

    assert events.headers["content-type"].startswith("text/event-stream")
    assert json.loads(line.removeprefix("data: "))["resource"]["kind"] == "port"


TOO_LONG = b" " * (MESSAGE_BYTES_MAX + 1)
REFUSED = [
    ("GET", "/v1/nowhere", {}, 404, "NO_SUCH_PATH"),
    ("GET", f"{PROJECT}/ports/nobody", {}, 404, "PORT_NOT_FOUND"),
    ("GET", "/v1/orgs/rival/projects/none/ports/p1", {}, 404, "VPC_NOT_FOUND"),
    ("PUT", f"{PROJECT}/ports", {}, 405, "METHOD_NOT_ALLOWED"),
    ("POST", f"{PROJECT}:watch", {}, 405, "METHOD_NOT_ALLOWED"),
    ("GET", f"{PROJECT}/ports", {"headers": {"accept": "text/html"}}, 406, "NOT_ACCEPTABLE"),
    ("GET", f"{PROJECT}/ports?pagesize=3", {}, 400, "UNKNOWN_FIELD"),
    ("GET", f"{PROJECT}/ports?page_size=3&page_size=4", {}, 400, "INVALID_ARGUMENT"),
    ("GET", f"{PROJECT}/ports?page_size=-1", {}, 400, "INVALID_ARGUMENT"),
    ("GET", f"{PROJECT}/ports?page_token=x", {}, 400, "INVALID_PAGE_TOKEN"),
    ("GET", f"{PROJECT}/ports?page_token=%ff", {}, 400, "MALFORMED_MESSAGE"),
    ("DELETE", f"{PROJECT}/ports/p1?dry_run=yes", {}, 400, "INVALID_ARGUMENT"),
    ("DELETE", f"{PROJECT}/ports/p1", {}, 409, "IN_USE"),
    ("POST", f"{PROJECT}/ports", {"content": b"{}"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ("POST", f"{PROJECT}/ports", {"content": b"{", "headers": JSON}, 400, "MALFORMED_MESSAGE"),
    ("POST", f"{PROJECT}/ports", {"content": b'"\xff"', "headers": JSON}, 400, "MALFORMED_MESSAGE"),
    ("POST", f"{PROJECT}/ports", {"content": b'{"name": "\\ud800"}', "headers": JSON}, 400, "MALFORMED_MESSAGE"),
    ("POST", f"{PROJECT}/ports", {"content": b"[" * 100_000, "headers": JSON}, 400, "MALFORMED_MESSAGE"),
    ("POST", f"{PROJECT}/ports", {"json": []}, 400, "INVALID_ARGUMENT"),
    ("POST", f"{PROJECT}/ports", {"json": {"nmae": "x"}}, 400, "UNKNOWN_FIELD"),
    ("POST", f"{PROJECT}/ports", {"json": {"org_id": "rival"}}, 400, "UNKNOWN_FIELD"),
    ("POST", f"{PROJECT}/ports", {"json": {"name": None}}, 400, "INVALID_ARGUMENT"),
    ("POST", f"{PROJECT}/ports", {"json": {"name": 1}}, 400, "INVALID_ARGUMENT"),
    ("POST", f"{PROJECT}/ports", {"json": {"ip_address": "10.9.9.9"}}, 400, "IP_OUTSIDE_SUBNET"),
    ("PATCH", f"{PROJECT}/security-groups/web", {"json": {}}, 400, "MISSING_FIELD"),
    ("POST", "/v1:plan", {"json": {"delete_vpc": {}, "create_vpc": {}}}, 400, "INVALID_ARGUMENT"),
    (
        "POST",
        f"{PROJECT}/ports",
        {"content": b" " * (MESSAGE_BYTES_MAX + 1), "headers": JSON},
        413,
        "MESSAGE_TOO_LARGE",
    ),
    ("GET", f"{PROJECT}/ports", {"headers": {"origin": "https://evil.example"}}, 403, "CROSS_SITE"),
    ("GET", f"{PROJECT}/ports", {"headers": {"host": "evil.example"}}, 403, "CROSS_SITE"),
    ("GET", f"{PROJECT}/conditions:watch?kind=elephant", {}, 400, "INVALID_ARGUMENT"),
]


@pytest.mark.parametrize(
    ("verb", "path", "more", "status", "code"),
    REFUSED,
    ids=lambda value: str(value) if isinstance(value, str | int) else "",
)
async def test_a_refusal_is_a_problem_with_a_code(
    rest: httpx.AsyncClient, verb: str, path: str, more: dict[str, object], status: int, code: str
) -> None:
    answer = await rest.request(verb, path, **more)  # type: ignore[arg-type]

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["hint"]


async def test_what_may_be_done_instead_is_said(rest: httpx.AsyncClient) -> None:
    answer = await rest.put(f"{PROJECT}/ports")

    assert answer.headers["allow"] == "GET, POST, HEAD"


async def test_a_refusal_names_the_field_and_the_dependents(rest: httpx.AsyncClient) -> None:
    rules = [{"protocol": "PROTOCOL_TCP", "source_type": "SOURCE_TYPE_CIDR", "source": "1.2.3.4/33"}]
    bad = await rest.post(f"{PROJECT}/security-groups", json={"name": "x", "ingress_rules": rules})
    in_use = await rest.delete(f"{PROJECT}/ports/p1")

    assert bad.json()["field_errors"][0]["field"] == "ingress_rules[0].source"
    assert in_use.json()["dependents"]


async def test_a_body_that_never_says_how_long_it_is_is_cut_off(rest: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 * MESSAGE_BYTES_MAX // 65536):
            yield b" " * 65536

    answer = await rest.post(f"{PROJECT}/ports", content=endless(), headers=JSON)

    assert answer.json()["code"] == "MESSAGE_TOO_LARGE"


async def test_what_has_no_end_has_no_head(rest: httpx.AsyncClient) -> None:
    answer = await rest.head(f"{PROJECT}:watch")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_a_head_without_an_end_ends_the_connection(rest: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(rest.base_url.host, rest.base_url.port)
    writer.write(b"GET /v1/vpcs HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 2 * HEAD_BYTES_MAX)
    answer = b"HTTP/1.1 400"
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):  # There was more to read than the server cared for.
            answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400")


WHOLE = b"GET /v1/vpcs HTTP/1.1\r\nhost: localhost\r\n\r\n"
BEGUN = b"GET /v1/vpcs HTTP/1.1\r\nhost: "


@pytest.mark.parametrize("said", [b"", BEGUN, WHOLE + BEGUN])
async def test_a_head_that_takes_too_long_ends_the_connection(
    here: World, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    async with rest_of(here) as rest:
        reader, writer = await asyncio.open_connection(rest.base_url.host, rest.base_url.port)
        writer.write(said)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()

    assert answer.count(b"HTTP/1.1 200") == said.count(WHOLE), "whoever ended one head has to end the next"


async def test_a_body_that_takes_too_long_is_refused(rest: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_S", 0.1)

    reader, writer = await asyncio.open_connection(rest.base_url.host, rest.base_url.port)
    head = f"POST {PROJECT}/ports HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9"
    writer.write(f"{head}\r\n\r\n{{".encode())
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"}")
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408") and b"REQUEST_TOO_SLOW" in answer


async def test_a_unix_socket_is_its_owners_alone(here: World, tmp_path: Path) -> None:
    path = tmp_path / "rest.sock"
    async with await serve_rest(here.calls, [f"unix:{path}"]):
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(f"{PROJECT}/vpc")
        assert path.stat().st_mode & 0o777 == 0o600

    assert answer.json()["id"] == "acme/web"
    assert not path.exists()


async def test_a_server_that_is_not_ready_says_so(here: World, rest: httpx.AsyncClient) -> None:
    here.calls.gate.is_ready = False
    answer = await rest.get(f"{PROJECT}/vpc")

    assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")
    assert answer.headers["retry-after"] == "1"


async def test_a_head_is_a_get_without_its_body(rest: httpx.AsyncClient) -> None:
    answer = await rest.head(f"{PROJECT}/vpc")

    assert (answer.status_code, answer.content) == (200, b"")
