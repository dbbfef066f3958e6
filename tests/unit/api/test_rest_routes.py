"""The table of paths: nothing that gRPC does is missing, and the document that is made of it holds together."""

import json
import re

from google.protobuf.descriptor import Descriptor

from weftwork.api.operations import OPERATIONS, WATCHES, answer_class
from weftwork.api.rest.openapi import document
from weftwork.api.rest.paths import Paths
from weftwork.api.rest.routes import ROUTES


def test_every_operation_has_a_path() -> None:
    missing = (OPERATIONS.keys() | WATCHES.keys()) - {route.method for route in ROUTES}

    assert not missing, "give each a line in src/weftwork/api/rest/routes.py, then run tools/generate_rest_page.py"


def test_every_path_leads_to_its_route() -> None:
    paths = Paths(ROUTES)
    for route in ROUTES:
        found = paths.find(re.sub(r"\{[^}]+\}", "x%2Fy", route.path).encode())

        assert found is not None and found.routes[route.verb] is route
        assert dict(found.words) == dict.fromkeys(route.words, "x/y")


def test_every_schema_that_is_spoken_of_is_there() -> None:
    told = document()
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(told)))

    assert named <= told["components"]["schemas"].keys()
    assert len({one["operationId"] for verbs in told["paths"].values() for one in verbs.values()}) == len(ROUTES)


def test_no_two_messages_have_one_name() -> None:
    """The document knows messages by their last name."""
    full_names: dict[str, set[str]] = {}
    waiting = [route.request for route in ROUTES] + [answer_class(route.method).DESCRIPTOR for route in ROUTES]
    while waiting:
        message: Descriptor = waiting.pop()  # type: ignore[assignment]
        there = full_names.setdefault(message.name, set())
        if message.full_name not in there:
            there.add(message.full_name)
            waiting += [field.message_type for field in message.fields if field.message_type is not None]

    assert not [names for names in full_names.values() if len(names) > 1]
