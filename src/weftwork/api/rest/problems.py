"""Errors as RFC 9457 has them, from the same registry as gRPC's."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from weftwork.api.errors import DEPENDENTS, FIELD, RETRY_AFTER_S, told
from weftwork.api.rest.messages import Json
from weftwork.api.terms import etag
from weftwork.base import codes
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.telemetry.trail import current

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
INTERNAL = "INTERNAL"
PAGE = "/docs/errors"
DETAIL_MAX = 2000


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    document: Json
    headers: Mapping[str, str]
    """With low lines for hyphens."""


def problem_of(error: BaseException, where: str) -> Problem:
    """Every error there is; of a mistake of ours the caller only gets a number. `where`: `GET /v1/…`."""
    match error:
        case Refusal():
            return _refused(error)
        case Failure():
            return _failed(error)
        case _:
            return _unexpected(error, where)


def _refused(error: Refusal) -> Problem:
    details = dict(error.details)
    headers: dict[str, str] = {}
    document = _document(error.code, told(error).http.value, error.message, error.hint)
    if field := details.pop(FIELD, ""):
        document["field_errors"] = [{"field": _cut(field), "description": _cut(error.message)}]
    if dependents := details.pop(DEPENDENTS, ""):
        document["dependents"] = dependents.split(", ")
    if details:
        if error.code == codes.REVISION_CHANGED.name and "revision" in details:
            headers["etag"] = etag(details["revision"])
        document["details"] = {key: _cut(value) for key, value in details.items()}
    return _problem(document, headers, retry=error.kind in (Kind.UNAVAILABLE, Kind.THROTTLED))


def _failed(error: Failure) -> Problem:
    known = codes.ALL.get(error.code)
    hint = known.what_to_do if known else "Try again in a moment."
    return _problem(_document(error.code, 503, error.message, hint), {}, retry=True)


def _unexpected(error: BaseException, where: str) -> Problem:
    request_id = current().request_id or uuid4().hex
    log.error("%s failed, request %s", where, request_id, exc_info=error)
    hint = f"Tell your operator this number: {request_id}."
    return _problem(_document(INTERNAL, 500, "the server made a mistake", hint), {}, retry=False)


def _document(code: str, status: int, message: str, hint: str) -> Json:
    known = codes.ALL.get(code)
    return {
        "type": f"{PAGE}#{code}",
        "title": known.title if known else code.replace("_", " ").capitalize(),
        "status": status,
        "detail": _cut(message),
        "code": code,
        "hint": hint,
    }


def _problem(document: Json, headers: dict[str, str], *, retry: bool) -> Problem:
    if retry:
        document["retry_after"] = RETRY_AFTER_S
        headers["retry_after"] = str(RETRY_AFTER_S)
    return Problem(document["status"], document, headers)


def _cut(text: str) -> str:
    """Without what no JSON may hold."""
    return text[:DETAIL_MAX].encode(errors="replace").decode()
