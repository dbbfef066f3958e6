"""The OpenAPI document, from the routes and the messages: there is no second place where the API is described."""

import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from importlib.metadata import version

from weftwork.api.rest.door import EVENTS, JSON, OVERRIDE
from weftwork.api.rest.messages import Json, message_of
from weftwork.api.rest.problems import MEDIA_TYPE
from weftwork.api.rest.routes import ROUTES, Route
from weftwork.api.rest.schemas import Schemas
from weftwork.api.terms import CONFIRM_WITHIN, CONFIRMATION, PROBE
from weftwork.base.tenancy import NAME
from weftwork.rpc import decode
from weftwork.rpc.generated.comments import COMMENTS
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft
from weftwork.telemetry.trail import REQUEST_ID

PATH = "/v1/openapi.json"

ABOUT = """The network API as JSON over HTTP: the same operations as gRPC's, message for message.

Names or ids may stand wherever a thing is named. Errors are `application/problem+json` with a stable `code`."""

WHY = {
    HTTPStatus.BAD_REQUEST: "Something in the request cannot be: `code` and `field_errors` say what",
    HTTPStatus.UNAUTHORIZED: "The call does not say who makes it, or not so that it can be believed",
    HTTPStatus.FORBIDDEN: "Not for this caller",
    HTTPStatus.NOT_FOUND: "There is no such thing, or it is not yours",
    HTTPStatus.NOT_ACCEPTABLE: "The answer comes in a media type that the caller does not accept",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive in time",
    HTTPStatus.CONFLICT: "What is there does not allow it: it exists, is in use, or is used up",
    HTTPStatus.GONE: "What happened after the revision is not kept any more",
    HTTPStatus.PRECONDITION_FAILED: "It was changed in the meantime",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON",
    HTTPStatus.TOO_MANY_REQUESTS: "More than one tenant may ask for",
    HTTPStatus.SERVICE_UNAVAILABLE: "Try again in a moment",
}
ALWAYS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
TEXTS: Json = {"type": "array", "items": {"type": "string"}}
TEXT: Json = {"type": "string"}
PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "code", "hint"],
    "additionalProperties": False,
    "properties": {
        "type": {**TEXT, "format": "uri-reference", "description": "A page about the code"},
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": {**TEXT, "description": "What was wrong"},
        "code": {**TEXT, "description": "Stable; the same as gRPC's `ErrorInfo.reason`", "pattern": "^[A-Z0-9_]+$"},
        "hint": {**TEXT, "description": "What to do"},
        "field_errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "description"],
                "additionalProperties": False,
                "properties": {"field": TEXT, "description": TEXT},
            },
        },
        "dependents": {**TEXTS, "description": "What depends on the thing"},
        "details": {"type": "object", "additionalProperties": TEXT},
        "retry_after": {"type": "integer", "description": "Seconds"},
    },
}


REQUEST_ID_SAYS = "The call's name in our log: the one that its own header of this name chose, or a new one"


@cache
def document() -> Json:
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weftwork", "version": version("weftwork"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in ROUTES)],
        "paths": paths,
        # Where the server asks for nothing, on its own machine, a bearer is not needed.
        "security": [{}, {"bearer": []}],
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "headers": {"RequestId": {"schema": TEXT, "required": True, "description": REQUEST_ID_SAYS}},
            "schemas": {"Problem": PROBLEM, **dict(sorted(schemas.components.items()))},
        },
    }


def _operation(route: Route, schemas: Schemas) -> Json:
    said = COMMENTS.get(route.method.strip("/").replace("/", "."), "")
    operation: Json = {
        "operationId": route.name,
        "summary": _words(route.name),
        "tags": [route.tag],
        "parameters": [*_path(route, schemas), *_query(route, schemas), *_of_mutations(route)],
        "responses": {status: _named(answer) for status, answer in _responses(route, schemas)},
    }
    if said:
        operation["description"] = said
    if route.has_body:
        operation["requestBody"] = _body(route, schemas)
    return operation


def _named(answer: Json) -> Json:
    """Every answer carries the name of its call."""
    headers = {**answer.get("headers", {}), REQUEST_ID: {"$ref": "#/components/headers/RequestId"}}
    return {**answer, "headers": headers}


def _path(route: Route, schemas: Schemas) -> Iterable[Json]:
    joined = {word: route.fields[one.field] for one in route.joined for word in one.words}
    for word in route.words:
        if word in joined:
            schema: Json = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
        else:
            schema = schemas.parameter(route.fields[word], in_path=True)
        yield _parameter("path", word, schema, COMMENTS.get(route.fields[word].full_name if word not in joined else ""))


def _query(route: Route, schemas: Schemas) -> Iterable[Json]:
    for name, field in route.query.items():
        yield _parameter("query", name, schemas.parameter(field, in_path=False), COMMENTS.get(field.full_name))


def _of_mutations(route: Route) -> Iterable[Json]:
    if route.resumes:
        last = "Where the watch before ended: the id of the last event; stands above `after`"
        yield _parameter("header", "Last-Event-ID", {"type": "string", "pattern": "^[0-9]{1,19}$"}, last)
    if not route.is_mutation:
        return
    plan = "Change nothing, and answer with what would change: objects, rules, and who could talk to whom"
    yield _parameter("query", "dry_run", {"type": "string", "enum": ["plan"]}, plan)
    if route.can_wait:
        wait = "Answer when this condition of the thing is true, or, when it is deleted, the hosts have let go of it"
        yield _parameter("query", "wait", {"type": "string", "enum": list(decode.CONDITION_TYPES)}, wait)
        timeout = "How many seconds to wait; then the answer is 202. 60 if not given"
        yield _parameter("query", "timeout", {"type": "number", "minimum": 0, "maximum": decode.WAIT_S_MAX}, timeout)
    if route.has_subject:
        match = "Only if the thing still has this ETag"
        yield _parameter("header", "If-Match", {"type": "string", "pattern": r'^(\*|"[0-9]{1,19}")$'}, match)
    once = "Makes the call once, however often it is sent: the answer is kept for 24 hours"
    yield _parameter("header", "Idempotency-Key", {"type": "string", "pattern": "^[!-~]{1,255}$"}, once)
    within = "Seconds after which the change undoes itself, unless it is confirmed"
    yield _parameter("header", CONFIRM_WITHIN.title(), {"type": "string", "pattern": "^[1-9][0-9]{0,3}$"}, within)
    name = "The name to confirm it by; without one, the server chooses"
    yield _parameter("header", CONFIRMATION.title(), {"type": "string", "pattern": f"^{NAME.pattern}$"}, name)
    probes = "`from web1 to 10.1.0.5 tcp/443`, with semicolons between: it undoes itself at once if one fails"
    yield _parameter("header", PROBE.title(), {"type": "string"}, probes)
    yield _parameter(
        "header", OVERRIDE.title(), {"type": "string", "enum": ["yes"]}, "Carry out what reach tests forbid"
    )


def _parameter(where: str, name: str, schema: Json, description: str | None) -> Json:
    parameter: Json = {"name": name, "in": where, "required": where == "path", "schema": schema}
    return {**parameter, "description": description} if description else parameter


def _body(route: Route, schemas: Schemas) -> Json:
    if route.whole_body:
        schema = schemas.read(message_of(route.request.fields_by_name[route.whole_body]))
    else:
        schema = schemas.body(route.request, route.body)
    needed = "required" in schema or "minProperties" in schema or bool(route.whole_body)
    return {"required": needed, "content": {JSON: {"schema": schema}}}


def _responses(route: Route, schemas: Schemas) -> Iterable[tuple[str, Json]]:
    if route.watch:
        yield (
            "200",
            {"description": "Events, until one of us goes", "content": {EVENTS: {"schema": {"type": "string"}}}},
        )
    else:
        yield from _answers(route, schemas)
    for status in sorted(_refusals(route)):
        problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        yield str(status.value), {"description": WHY[status], **problem}


def _answers(route: Route, schemas: Schemas) -> Iterable[tuple[str, Json]]:
    planned = {"description": "What would change", **_json(schemas.written(weft.PlanResponse.DESCRIPTOR))}
    if route.status is HTTPStatus.NO_CONTENT:
        yield "204", {"description": "Done"}
    else:
        answer = {"description": "Done" if route.is_mutation else "The answer", **_json(schemas.written(route.answer))}
        if "revision" in route.answer.fields_by_name:
            answer["headers"] = {"ETag": {"schema": TEXT, "description": "For If-Match; its revision"}}
        if route.is_mutation and route.status is HTTPStatus.OK:
            either = [schemas.written(route.answer), schemas.written(weft.PlanResponse.DESCRIPTOR)]
            answer |= {"description": "Done; or, with `dry_run`, what would change", **_json({"anyOf": either})}
        yield str(route.status.value), answer
    if route.is_mutation and route.status is not HTTPStatus.OK:
        yield "200", planned
    if route.can_wait:
        later = {} if route.status is HTTPStatus.NO_CONTENT else _json(schemas.written(route.answer))
        yield "202", {"description": "Done, and what was to be waited for has not come in time", **later}


def _refusals(route: Route) -> set[HTTPStatus]:
    more: set[HTTPStatus] = {HTTPStatus.GONE} if route.resumes else set()
    if route.verb != "GET":
        more |= {HTTPStatus.CONFLICT}
    if route.is_mutation and route.has_subject:
        more |= {HTTPStatus.PRECONDITION_FAILED}
    if route.has_body:
        more |= {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
    return {*ALWAYS, *more}


def _json(schema: Json) -> Json:
    return {"content": {JSON: {"schema": schema}}}


def _words(name: str) -> str:
    """`CreateVpc` → `Create VPC`."""
    words = re.findall(r"[A-Z][a-z]*", name)
    told = [words[0], *(one.upper() if one in ("Vpc", "Vpcs", "Snat", "Dnat") else one.lower() for one in words[1:])]
    return " ".join(told).replace("VPCS", "VPCs")
