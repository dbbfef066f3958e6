"""Law: what is stored reads back as it was."""

import json

import pytest
from hypothesis import given

from weftwork.actions import rows
from weftwork.model.intent import Intent
from weftwork.model.keys import parse_thing_key
from weftwork.model.reach_test import Must, ReachTest, parse_end, parse_service
from weftwork.testing.strategies import TENANTS, intents, port


@given(intents())
def test_decode_undoes_encode(intent: Intent) -> None:
    for project in intent.values():
        single = [one for one in (project.vpc, project.snat) if one]
        for thing in (*single, *project.subnets.values(), *project.groups.values(), *project.ports.values()):
            assert rows.decode(rows.key_of(thing), rows.encode(thing)) == thing
        for named in (*project.dnats.values(), *project.peerings.values(), *project.shares.values()):
            key = rows.key_of(named)
            assert rows.decode(key, rows.encode(named)) == named
            assert parse_thing_key(str(key)) == key


@pytest.mark.parametrize(
    "source", ["port:00000000-0000-4000-8000-000000000001", "group:web", "subnet:data", "internet"]
)
@pytest.mark.parametrize("destination", ["10.0.1.0/24", "10.0.1.7"])
@pytest.mark.parametrize("service", ["all", "icmp", "udp", "tcp/443", "tcp/80-90"])
def test_decode_undoes_encode_of_a_reach_test(source: str, destination: str, service: str) -> None:
    test = ReachTest(
        TENANTS[0],
        "t",
        Must.NOT_REACH,
        parse_end(source),
        parse_end(destination),
        *parse_service(service),
        created_at=7,
    )
    assert rows.decode(rows.key_of(test), rows.encode(test)) == test
    assert json.loads(rows.encode(test))["source"] == source
    assert json.loads(rows.encode(test))["service"] == service


def test_a_stored_port_has_the_names_of_the_specification() -> None:
    row = json.loads(rows.encode(port(TENANTS[0], 1)))

    assert row["org_id"] == "red" and row["project_id"] == "web"
    assert row["subnet_id"] == "red/web/default"
    assert row["security_group_ids"] == ["red/web/default"]
    assert row["mac_address"] == "02:57:00:00:00:01"
    assert row["vm_id"] == "vm1"


def test_a_newer_servers_fields_are_skipped() -> None:
    one = port(TENANTS[0], 1)
    newer = json.loads(rows.encode(one)) | {"host": "h1"}

    assert rows.decode(rows.key_of(one), json.dumps(newer).encode()) == one
