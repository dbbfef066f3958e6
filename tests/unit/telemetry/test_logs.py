"""Lines say whose work they are of, hold one object or one line each, and no secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.telemetry.journeys import Following, Journeys
from weftwork.telemetry.logs import JsonLines, TextLines, start_logging, told
from weftwork.telemetry.redaction import GONE, without_secrets
from weftwork.telemetry.trail import Trail, along, current, joined, trail_of

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRETS = (
    "weft_0123456789ab_ThisIsTheSecretOfAToken",
    "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "postgresql://weft:ThisIsTheSecretOfAToken@db/weft",
    "password=ThisIsTheSecretOfAToken",
    '"client_secret": "ThisIsTheSecretOfAToken"',
    "-----BEGIN PRIVATE KEY-----\nThisIsTheSecretOfAToken\n-----END PRIVATE KEY-----",
)


def record(message: str, *, error: BaseException | None = None, **fields: object) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    made = logging.LogRecord("weftwork.api", logging.INFO, "", 0, message, (), info)
    made.__dict__.update(told(**fields))
    return made


def line(message: str, **fields: object) -> dict[str, Any]:
    text = JsonLines().format(record(message, **fields))
    assert "\n" not in text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@given(st.text(), st.text())
def test_whatever_a_message_holds_is_one_object_on_one_line(message: str, value: str) -> None:
    found = line(message, project=value)
    assert {"time", "level", "logger", "message", "project"} == found.keys()


@given(st.text(), st.text())
def test_no_message_starts_a_line_of_its_own_or_commands_a_terminal(message: str, value: str) -> None:
    text = TextLines().format(record(message, error=ValueError(value), project=value))
    first, *rest = text.split("\n")
    assert first.isprintable()
    assert all(one.startswith("    | ") and one.isprintable() for one in rest)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_written_whoever_says_it(secret: str) -> None:
    for form in (JsonLines(), TextLines()):
        said = form.format(record(f"the peer says {secret}", error=ValueError(secret), detail=secret))
        assert "ThisIsTheSecret" not in said and "c2lnbmF0dXJl" not in said
        assert GONE in said


@pytest.mark.parametrize("harmless", ["the bearer token is not sent", "port 80", "https://db:5432/weft", "weft_zone"])
def test_what_is_no_secret_stays(harmless: str) -> None:
    assert without_secrets(harmless) == harmless


def test_a_line_names_its_request_and_its_trace() -> None:
    with along(trail_of("abc-1", PARENT)):
        found = line("made")
    assert (found["request_id"], found["trace_id"]) == ("abc-1", PARENT.split("-")[1])
    assert "request_id" not in line("nobody asked for this")


def test_a_round_names_all_its_requests() -> None:
    with along(joined((trail_of("a"), trail_of("b")))):
        assert line("applied")["requests"] == ["a", "b"]


@pytest.mark.parametrize("insane", ["", "a b", "a\nb", "x" * 65, "ä", "-rf", '"'])
def test_a_name_that_is_not_sane_is_replaced(insane: str) -> None:
    assert trail_of(insane).request_id != insane
    assert len(trail_of(insane).request_id) == 32


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        PARENT.upper(),
        PARENT.replace("00-4", "ff-4"),
        f"{PARENT}-more",
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT[:-1],
        PARENT + "-" + "x" * 200,
    ],
)
def test_a_traceparent_that_is_malformed_is_as_if_it_had_not_come(malformed: str) -> None:
    assert not trail_of("", malformed).trace_id


def test_a_traceparent_names_the_request_where_nothing_else_does() -> None:
    trail = trail_of("", PARENT)
    assert trail.request_id == trail.trace_id and trail.is_sampled
    assert trail.traceparent == PARENT
    assert trail_of("", f"01{PARENT[2:]}-more").trace_id == trail.trace_id


def test_a_revision_is_told_with_the_request_that_made_it() -> None:
    following = Following()
    for revision, name in ((5, "a"), (6, "b"), (9, "c")):
        with along(Trail((name,))):
            following.journeys.note(revision)
    with following.work("reconcile", after=5, up_to=8):
        assert current().requests == ("b",)
    with following.work("reconcile", after=4, up_to=9):
        assert current().requests == ("a", "b", "c")
    with following.work("reconcile", after=9, up_to=9):
        assert current().requests == ()


def test_only_so_many_revisions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weftwork.telemetry.journeys.REMEMBERED", 3)
    journeys = Journeys()
    for revision in range(1, 11):
        with along(Trail((str(revision),))):
            journeys.note(revision)
    assert len(journeys) == 3
    assert [one.request_id for one in journeys.of(after=0, up_to=10)] == ["8", "9", "10"]


def test_what_was_said_last_is_there_for_whoever_asks() -> None:
    out = io.StringIO()
    last = start_logging("json", "info", out)
    logging.getLogger("weftwork").info("hello")
    logging.getLogger("weftwork").debug("not this")
    assert [json.loads(one)["message"] for one in last.lines] == ["hello"]
    assert out.getvalue().splitlines() == list(last.lines)
