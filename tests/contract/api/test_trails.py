"""A call has one name, which its caller may choose, and which comes back by both doors; and its trace goes on."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio
from api_world import OURS, World, world

from weftwork.agent.local import LocalAgent
from weftwork.agent.timed import TimedDriver
from weftwork.api.refusals import RefusalLog
from weftwork.api.rest.server import serve_rest
from weftwork.api.server import serve
from weftwork.client import ApiError, Client
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.controller.publisher import Publisher
from weftwork.program.plan import Plan
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network
from weftwork.seams.driver import Applied
from weftwork.store.noting import NotingStore
from weftwork.telemetry.journeys import Following
from weftwork.telemetry.logs import JsonLines
from weftwork.telemetry.metrics import Metrics
from weftwork.telemetry.traces import open_spans
from weftwork.testing.collector import Collector
from weftwork.testing.memory_driver import MemoryDriver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
GET = "/overlay_network.v1.NetworkService/GetPort"
WATCH = "/weftwork.v1.WatchService/Watch"
HEADERS = {"x-request-id": "mine-1", "authorization": "Bearer weft_0123456789ab_ThisIsASecret"}


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as one:
        yield one


@pytest_asyncio.fixture
async def http(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        await serve_rest(here.calls, ["127.0.0.1:0"]) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[0]}") as client,
    ):
        yield client


class GatedDriver(MemoryDriver):
    """Applies when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, plan: Plan) -> Applied:
        await self.gate.wait()
        return await super().apply(plan)


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def of(self, request_id: str) -> list[dict[str, object]]:
        found = [json.loads(one) for one in self.lines]
        return [one for one in found if one.get("request_id") == request_id]


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, log = Kept(), logging.getLogger("weftwork")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


async def test_an_answer_says_which_request_it_is_to(here: World, http: httpx.AsyncClient) -> None:
    path = f"/v1/orgs/acme/projects/web/ports/{here.port_id}"
    assert (await http.get(path, headers={"x-request-id": "mine-1"})).headers["x-request-id"] == "mine-1"
    assert (await http.get(path, headers={"traceparent": PARENT})).headers["x-request-id"] == TRACE
    assert len((await http.get(path, headers={"x-request-id": "not sane"})).headers["x-request-id"]) == 32
    assert (await http.get(f"{path}x", headers={"x-request-id": "mine-2"})).headers["x-request-id"] == "mine-2"
    async with http.stream("GET", "/v1/orgs/acme/projects/web:watch", headers={"x-request-id": "mine-3"}) as watch:
        assert watch.headers["x-request-id"] == "mine-3"


async def test_so_does_an_answer_over_grpc(here: World) -> None:
    call = here.channel.unary_unary(GET, network.GetPortRequest.SerializeToString)
    request = network.GetPortRequest(org_id="acme", project_id="web", port_id=here.port_id)
    answer = call(request, metadata=(("x-request-id", "mine-1"),))
    await answer
    assert ("x-request-id", "mine-1") in tuple(await answer.trailing_metadata())
    request.port_id = "nobody"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(request, metadata=(("x-request-id", "mine-2"),))
    assert ("x-request-id", "mine-2") in tuple(refused.value.trailing_metadata() or ())


async def test_the_client_knows_the_name_of_what_was_refused(here: World) -> None:
    with pytest.raises(ApiError) as refused:
        await here.client.get_port(OURS, "nobody")
    assert len(refused.value.request_id) == 32


async def test_a_change_has_its_line_with_who_and_what_came_of_it(
    here: World, http: httpx.AsyncClient, kept: Kept
) -> None:
    path = "/v1/orgs/acme/projects/web/ports"
    made = await http.post(path, json={"name": "noted"}, headers={"x-request-id": "mine-1"})
    assert made.status_code == 201
    (line,) = kept.of("mine-1")
    assert line["method"] == "/overlay_network.v1.NetworkService/CreatePort"
    assert (line["code"], line["project"], line["level"]) == ("OK", OURS, "info")
    assert "noted" not in json.dumps(line)

    await http.get(f"{path}/noted", headers={"x-request-id": "mine-2"})
    assert [one["level"] for one in kept.of("mine-2")] == ["debug"]


async def test_what_a_tenant_sends_neither_forges_a_line_nor_leaves_a_secret(
    here: World, http: httpx.AsyncClient, kept: Kept
) -> None:
    path = "/v1/orgs/acme/projects/web/ports"
    body = {"name": 'x\n{"level": "error", "request_id": "forged"}', "vm_id": "ThisIsASecret"}
    assert (await http.post(path, json=body, headers=HEADERS)).status_code == 401
    assert (await http.post(path, json=body, headers={"x-request-id": "mine-2"})).status_code == 400
    assert len(kept.of("mine-1")) == 1 and len(kept.of("mine-2")) == 1
    assert not kept.of("forged")
    assert "ThisIsASecret" not in "".join(kept.lines)


async def test_a_call_that_finds_the_server_not_ready_is_noted_too(here: World) -> None:
    log = RefusalLog(here.network)
    calls = replace(here.calls, refusals=log)
    async with await serve_rest(calls, ["127.0.0.1:0"]) as server:
        calls.gate.is_ready = False
        async with httpx.AsyncClient(base_url=f"http://{server.addresses[0]}") as http:
            assert (await http.get("/v1/orgs/acme/projects/web/ports")).status_code == 503
    calls.gate.is_ready = True
    await log.flush()
    entries = [one async for one in here.client.access.audit_entries(refused=True)]
    assert [one.refused for one in entries] == ["NOT_READY"]


@pytest_asyncio.fixture
async def traced(here: World, tmp_path: Path) -> AsyncIterator[tuple[Client, Collector, GatedDriver]]:
    """The same world with an agent, and everything told to a collector."""
    with Collector() as collector:
        spans = open_spans(collector.endpoint)
        following = Following(spans=spans)
        here.network.store = NotingStore(here.store, following)
        driver, metrics = GatedDriver(), Metrics()
        agent = LocalAgent("h1", TimedDriver("linux", driver, metrics, spans), lambda _: None, following=following)
        profile = HostProfile(filter_mode="bridge", layout="bridges", mtu_bytes=1500)
        publisher = Publisher(
            here.network.view, lambda intent, one: compile_slice(intent, one, profile), agent, None, following
        )
        socket = f"unix:{tmp_path}/traced.sock"
        doors = here.calls.doors
        async with (
            await serve(
                network=here.network,
                conditions=doors.conditions,
                insight=doors.insight,
                addresses=[socket],
                spans=spans,
            ),
            await Client.connect(socket) as client,
            asyncio.TaskGroup() as tasks,
        ):
            loops = [tasks.create_task(publisher.run()), tasks.create_task(agent.run())]
            await agent.settle()
            yield client, collector, driver
            for loop in loops:
                loop.cancel()
        await asyncio.to_thread(spans.close)


async def test_a_trace_goes_from_the_caller_to_the_driver(
    traced: tuple[Client, Collector, GatedDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, collector, _ = traced
    monkeypatch.setenv("TRACEPARENT", PARENT)
    await client.create_port(OURS, name="far", vm="vm-far")
    monkeypatch.delenv("TRACEPARENT")
    names = ("overlay_network.v1.NetworkService/CreatePort", "store commit", "publish", "reconcile", "linux apply")
    spans = await asyncio.to_thread(collector.wait_for, *names, trace_id=TRACE)
    by_name = {one.name: one for one in spans}
    call = by_name[names[0]]
    assert call.parent_span_id.hex() == PARENT.split("-")[2]
    assert [by_name[name].parent_span_id for name in names[1:4]] == [call.span_id] * 3
    assert by_name["linux apply"].parent_span_id == by_name["reconcile"].span_id
    assert "far" not in str(spans)


async def test_a_round_for_several_calls_is_linked_to_each(traced: tuple[Client, Collector, GatedDriver]) -> None:
    client, collector, driver = traced
    driver.gate.clear()
    await asyncio.gather(*(client.create_port(OURS, name=f"n{number}", vm=f"vm-{number}") for number in range(20)))
    driver.gate.set()
    spans = await asyncio.to_thread(collector.wait_for, "linux apply")
    calls = {one.span_id for one in spans if one.name.endswith("CreatePort")}
    assert len(calls) == 20
    seen: set[bytes] = set()
    for _ in range(200):
        rounds = [one for one in collector.spans if one.name == "reconcile"]
        seen = {link.span_id for one in rounds for link in one.links} | {one.parent_span_id for one in rounds}
        if seen >= calls:
            break
        await asyncio.sleep(0.05)
    assert seen >= calls
    assert any(len(one.links) > 1 for one in rounds)


async def test_what_a_caller_does_not_want_told_is_not(
    traced: tuple[Client, Collector, GatedDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, collector, _ = traced
    monkeypatch.setenv("TRACEPARENT", f"{PARENT[:-2]}00")
    await client.create_port(OURS, name="quiet")
    monkeypatch.setenv("TRACEPARENT", PARENT.replace(TRACE, "a" * 32))
    await client.create_port(OURS, name="loud")
    await asyncio.to_thread(collector.wait_for, "store commit", trace_id="a" * 32)
    assert not [one for one in collector.spans if one.trace_id.hex() == TRACE]


async def test_a_refusal_ends_its_span_with_the_reason(traced: tuple[Client, Collector, GatedDriver]) -> None:
    client, collector, _ = traced
    with pytest.raises(ApiError):
        await client.get_port(OURS, "nobody")
    (span,) = await asyncio.to_thread(collector.wait_for, "overlay_network.v1.NetworkService/GetPort")
    assert span.status.message == "PORT_NOT_FOUND"
