"""The doors answer alike: every call, sent through gRPC and through REST from the same state, with the same message."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest
from api_world import THEIRS, World, world
from google.protobuf.message import Message
from test_bad_input import fill, good_request
from test_rest import rest_of
from wire import path_of

from weftwork.api.operations import OPERATIONS, answer_class
from weftwork.api.rest.messages import written
from weftwork.api.rest.requests import short_names
from weftwork.api.rest.routes import ROUTES, Route
from weftwork.client.errors import api_error

UNARY = [route for route in ROUTES if route.watch is None and route.name != "Rollback"]
"""A way back undoes what happened since, which is never the same twice."""
OF_THE_MOMENT = re.compile(
    r'"(revision|observed_revision|created_at|updated_at|last_transition|state_since|vni)": "?[0-9]+"?'
)
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
CHOSEN = re.compile(f"{_UUID}|02:57:[0-9a-f:]{{11}}|tap[0-9a-f]{{12}}|vnis/[0-9]{{8}}")
"""UUIDs, MACs, devices and VNIs: no two are alike."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@pytest.fixture
async def rest(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_of(here) as client:
        yield client


def prepared(route: Route, request: Any) -> Any:
    """With what a path cannot do without."""
    for word in route.words:
        field = request.DESCRIPTOR.fields_by_name.get(word)
        if field is not None and field.type == field.TYPE_STRING and not getattr(request, word):
            setattr(request, word, "nobody")
    for name, value in {"to": THEIRS, "peering": "lab", "peer": THEIRS, "ip_address": "10.20.1.9"}.items():
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(request, name, value)
    if "test" in request.DESCRIPTOR.fields_by_name:
        fill(request.test)
    return request


def as_http(route: Route, request: Any) -> httpx.Request:
    said = written(request)
    if route.flattened:
        said |= said.pop(route.flattened, {})
    for joined in route.joined:
        said |= dict(zip(joined.words, said.pop(joined.field).split("/"), strict=True))
    path = route.path
    for word in route.words:
        value = said.pop(word)
        field = route.fields.get(word)
        if field is not None and field.enum_type is not None:
            number = field.enum_type.values_by_name[value].number
            value = next(name for name, one in short_names(field).items() if one == number)
        path = path.replace(f"{{{word}}}", quote(str(value), safe=""))
    address = f"http://localhost{path}"
    if not route.has_body:
        return httpx.Request(route.verb, address, params={k: _text(v) for k, v in said.items() if k in route.query})
    body = said[route.whole_body] if route.whole_body else {k: v for k, v in said.items() if k in route.body}
    return httpx.Request(route.verb, address, json=body)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def comparable(document: Any) -> Any:
    """Without what no two calls have in common."""
    text = json.dumps(document)
    return json.loads(CHOSEN.sub("one", OF_THE_MOMENT.sub(r'"\1": ""', text)))


async def through_grpc(here: World, method: str, request: Message) -> Any:
    """The answer as JSON, or the code of the refusal."""
    call = here.channel.unary_unary(method, response_deserializer=answer_class(method).FromString)
    try:
        return written(await call(request.SerializeToString(), timeout=5))
    except grpc.aio.AioRpcError as error:
        return {"code": api_error(error).reason}


async def through_rest(rest: httpx.AsyncClient, route: Route, request: Message) -> Any:
    asked = as_http(route, request)
    answer = await rest.request(asked.method, str(asked.url).removeprefix("http://localhost"), content=asked.content,
                                headers={"content-type": "application/json"} if route.has_body else {})  # fmt: skip
    document = answer.json() if answer.content else {}
    return {"code": document["code"]} if answer.status_code >= 400 else document


async def test_every_call_is_answered_alike_through_either_door(here: World, rest: httpx.AsyncClient) -> None:
    answered = 0
    different = []
    for route in UNARY:
        method = OPERATIONS[route.method].method
        service, name = method.strip("/").split("/")
        found = route.request.file.pool.FindServiceByName(service).FindMethodByName(name)
        assert path_of(found) == method
        request = prepared(route, good_request(found))
        if name == "CreateVm":
            request.nics.add(ip_address="10.20.0.9")  # type: ignore[attr-defined]  # else the next free one is chosen
        mine = await through_grpc(here, method, request)
        await here.restore()
        theirs = await through_rest(rest, route, request)
        await here.restore()

        if comparable(theirs) != comparable(mine):
            different.append((name, mine, theirs))
        answered += "code" not in mine
    assert not different
    assert answered > len(UNARY) // 2, "most of them succeed"
