"""Lists: pages that neither lose nor repeat what stays, filters and orders; through either door."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_world import World, world
from test_rest import PROJECT, rest_of

from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb

PORTS = f"{PROJECT}/ports"
NAMES = [f"n{at:02}" for at in range(25)]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as here:
        yield here


@pytest.fixture
async def rest(here: World) -> AsyncIterator[httpx.AsyncClient]:
    async with rest_of(here) as client:
        for name in NAMES:
            await here.client.create_port("acme/web", name=name, subnet="data")
        yield client


async def pages(rest: httpx.AsyncClient, **asked: Any) -> AsyncIterator[list[dict[str, Any]]]:
    token = ""
    while True:
        answer = await rest.get(PORTS, params={**asked, "page_token": token})
        assert answer.status_code == 200, answer.text
        yield answer.json()["ports"]
        token = answer.json()["next_page_token"]
        if not token:
            return


async def names(rest: httpx.AsyncClient, **asked: Any) -> list[str]:
    return [port["name"] async for page in pages(rest, **asked) for port in page]


async def test_pages_show_everything_once(rest: httpx.AsyncClient) -> None:
    for size in (1, 4, 27, 1000):
        for more in ({}, {"order_by": "name desc"}, {"filter": 'name = "*"'}):
            assert sorted(await names(rest, page_size=size, **more)) == sorted([*NAMES, "p1", "p2"]), (size, more)


@pytest.mark.parametrize("order", ["", "name", "name desc", "ip_address, name"])
async def test_what_stays_is_shown_once_whatever_comes_and_goes(
    here: World, rest: httpx.AsyncClient, order: str
) -> None:
    chance = random.Random(order)
    stay = set(NAMES[::2])
    leave = [name for name in NAMES if name not in stay]
    shown: list[str] = []
    async for page in pages(rest, page_size=3, order_by=order):
        shown += [port["name"] for port in page]
        if leave:
            await here.client.delete_port("acme/web", leave.pop(chance.randrange(len(leave))))
        await here.client.create_port("acme/web", name=f"late{len(shown)}{chance.randrange(10**6)}")
        if len(shown) > 100:
            break

    assert len(shown) == len(set(shown))
    assert stay <= set(shown)


async def test_an_order_is_kept_over_pages(rest: httpx.AsyncClient) -> None:
    rising = await names(rest, page_size=4, order_by="name")
    falling = await names(rest, page_size=4, order_by="subnet_id asc, name desc")

    assert rising == sorted([*NAMES, "p1", "p2"])
    assert falling == [*sorted([*NAMES, "p2"], reverse=True), "p1"]


FILTERS = [
    ('name = "n01"', ["n01"]),
    ("name = n01", ["n01"]),
    ('name = "n0*" AND name != n00', [f"n0{at}" for at in range(1, 10)]),
    ("name = *1", ["n01", "n11", "n21", "p1"]),
    ("name : 2", ["n02", "n12", "n20", "n21", "n22", "n23", "n24", "p2"]),
    ('security_group_ids : "acme/web/web"', ["p1"]),
    ("attachment.kind = KIND_TAP", ["p2"]),
    ('NOT name = "n*" AND mtu_bytes >= 1000', ["p1", "p2"]),
    ("(name = p1 OR name = p2) AND NOT (vm_id = vm-2)", ["p1"]),
    ("mtu_bytes < 5", []),
    (r'name = "\"\\"', []),
]


async def test_a_filter_says_what_is_shown(rest: httpx.AsyncClient) -> None:
    for text, expected in FILTERS:
        assert sorted(await names(rest, page_size=2, filter=text)) == expected, text


BAD_FILTERS = (
    *("name", "name =", "= x", "name ! x", "(name = x", "name = x)", "name = x OR", "name = x name = y", "NOT"),
    *("nmae = x", "name.x = 1", "mtu_bytes = x", "mtu_bytes : 1", "security_group_ids = x", "attachment = x"),
    *("attachment.kind > KIND_TAP", "conditions.type = x", "name = x AND name = y OR name = z", '"name" = x'),
    *("(" * 40 + "name = x" + ")" * 40, "name = " + "x" * 3000, "name = ***a*b*", "name = <"),
)
BAD_ORDERS = ("nmae", "name up", "name,", "conditions", "attachment", "name,name,name,name,name", ",")


async def test_what_is_not_understood_is_refused(rest: httpx.AsyncClient) -> None:
    for asked in (*({"filter": text} for text in BAD_FILTERS), *({"order_by": text} for text in BAD_ORDERS)):
        answer = await rest.get(PORTS, params=asked)

        assert (answer.status_code, answer.json().get("code")) == (400, "INVALID_FILTER"), asked


@pytest.mark.parametrize(("first", "then"), [("name", "name desc"), ("", "name"), ("name", "")])
async def test_a_token_is_for_its_own_list(rest: httpx.AsyncClient, first: str, then: str) -> None:
    token = (await rest.get(PORTS, params={"page_size": 2, "order_by": first})).json()["next_page_token"]
    answer = await rest.get(PORTS, params={"page_token": token, "order_by": then})

    assert answer.json().get("code", "INVALID_PAGE_TOKEN") == "INVALID_PAGE_TOKEN"
    assert answer.status_code == 400 or then == ""


async def test_the_other_door_filters_too(here: World, rest: httpx.AsyncClient) -> None:
    call = here.channel.unary_unary(
        "/overlay_network.v1.NetworkService/ListPorts",
        request_serializer=pb.ListPortsRequest.SerializeToString,
        response_deserializer=pb.ListPortsResponse.FromString,
    )
    asked = pb.ListPortsRequest(org_id="acme", project_id="web", filter='name = "n2*"', order_by="name desc")

    assert [port.name for port in (await call(asked)).ports] == ["n24", "n23", "n22", "n21", "n20"]


async def test_every_list_can_be_filtered(rest: httpx.AsyncClient) -> None:
    paths = ("subnets", "security-groups", "snats", "dnats", "peerings", "network-policies", "reach-tests")
    for path in (*paths, "peering-offers", "subnet-shares", "shared-subnets"):
        answer = await rest.get(f"{PROJECT}/{path}", params={"filter": "created_at = 0 OR nothing = 1"})
        assert answer.json()["code"] == "INVALID_FILTER", path
