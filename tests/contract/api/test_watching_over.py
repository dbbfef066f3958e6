"""What those who watch over the deployment are told: that it lives, what it waits for, and how much it does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from api_world import World, world
from prometheus_client.parser import text_string_to_metric_families

from weftwork.api.guard import Guard
from weftwork.api.rest.server import serve_rest
from weftwork.telemetry.metrics import Figure


class Watched:
    def __init__(self) -> None:
        self.missing: tuple[str, ...] = ()

    async def figures(self) -> tuple[Figure, ...]:
        return tuple(Figure("overlay_network_ports_total", "Ports.", number, {"n": str(number)}) for number in (3, 4))

    async def not_ready(self) -> tuple[str, ...]:
        return self.missing


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as one:
        yield one


@pytest_asyncio.fixture
async def http(here: World, watched: Watched) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        await serve_rest(here.calls, ["127.0.0.1:0"], watched) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[0]}") as client,
    ):
        yield client


async def samples(http: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await http.get("/metrics")).text
    families = text_string_to_metric_families(text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


async def test_it_lives_and_it_is_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).status_code == 200
    assert (await http.get("/ready")).json() == {"status": "ready"}


async def test_what_is_not_ready_is_named(http: httpx.AsyncClient, here: World, watched: Watched) -> None:
    watched.missing = ("node1/ovn: target: no leader answers",)
    here.calls.gate.is_ready = False
    answer = await http.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["not_ready"] == ["server: it still reads its store", "node1/ovn: target: no leader answers"]
    assert (await http.get("/health")).status_code == 200


async def test_calls_are_counted_by_what_became_of_them(http: httpx.AsyncClient) -> None:
    await http.get("/v1/orgs/acme/projects/web/vpc")
    await http.get("/v1/orgs/acme/projects/absent/vpc")

    told = await samples(http)

    for code, count in (("OK", 1), ("VPC_NOT_FOUND", 1)):
        labels = frozenset({("method", "/overlay_network.v1.NetworkService/GetVpc"), ("code", code)})
        assert told["weft_call_duration_seconds_count", labels] == count
    assert told["overlay_network_ports_total", frozenset({("n", "3")})] == 3
    assert told["weft_calls_turned_away_total", frozenset()] == 0


async def test_figures_are_for_who_may_see_the_fleet(here: World, watched: Watched) -> None:
    """The socket is the administrator's, and loopback without set-up; where logins are asked for, it is asked here."""
    closed = replace(here.calls, guard=Guard(is_open=False))
    async with (
        await serve_rest(closed, ["127.0.0.1:0"], watched) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[0]}") as client,
    ):
        refused = await client.get("/metrics")
        assert refused.status_code == 401
        assert refused.json()["code"] == "NOT_AUTHENTICATED"
        assert (await client.get("/health")).status_code == 200
