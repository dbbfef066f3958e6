"""Pages for people: they come from this server alone, and a browser is told to let them do nothing else."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from api_world import world
from test_rest import rest_of

from weftwork.base.codes import ALL


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with world(tmp_path) as here, rest_of(here) as client:
        yield client


async def test_the_api_can_be_tried_in_a_browser(rest: httpx.AsyncClient) -> None:
    home = await rest.get("/", follow_redirects=True)
    parts = [await rest.get(path) for path in re.findall(r'(?:src|href)="([^"]+)"', home.text)]

    assert home.url.path == "/docs"
    assert {part.status_code for part in parts} == {200}
    assert {part.headers["content-type"].partition(";")[0] for part in parts} == {
        "text/css",
        "text/javascript",
        "application/json",
        "text/html",
    }


async def test_nothing_comes_from_elsewhere_and_nothing_is_inline(rest: httpx.AsyncClient) -> None:
    for path in ("/docs", "/docs/app.js", "/docs/style.css", "/docs/errors"):
        page = await rest.get(path)
        policy = page.headers["content-security-policy"]

        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(r"https?://|<script>|<style>| style=| on[a-z]+=|innerHTML|eval\(", page.text), path


async def test_every_code_has_its_place_on_the_page_that_problems_link_to(rest: httpx.AsyncClient) -> None:
    page = (await rest.get("/docs/errors")).text
    problem = (await rest.get("/v1/orgs/acme/projects/web/ports/nobody")).json()

    assert all(f'id="{name}"' in page for name in ALL)
    assert problem["type"] == "/docs/errors#PORT_NOT_FOUND"


async def test_a_page_is_only_read(rest: httpx.AsyncClient) -> None:
    refused = await rest.post("/docs")

    assert (refused.status_code, refused.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in refused.headers["allow"]
