"""How errors are told."""

import logging
from typing import TypeVar
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status

from weftwork.api.errors import BY_CODE, TABLE, Answer, answer_to
from weftwork.base import codes
from weftwork.base.errors import Failure, Kind

M = TypeVar("M", bound=Message)

HEADER_BYTES_MAX = 8 * 1024
"""What gRPC peers take of metadata when nothing else is said."""


def detail(answer: Answer, kind: type[M]) -> M:
    """The detail of this kind, which must be there."""
    found = kind()
    assert any(one.Unpack(found) for one in Status.FromString(answer.details).details), f"no {kind.__name__}"
    return found


def test_every_kind_of_refusal_has_its_status() -> None:
    assert set(TABLE) == set(Kind)
    assert set(BY_CODE) <= set(codes.ALL)


@pytest.mark.parametrize("code", codes.ALL.values(), ids=lambda code: code.name)
def test_every_code_travels_as_the_reason_with_what_to_do(code: codes.Code) -> None:
    answer = answer_to(code.refusal("something was wrong"), "/a/B")

    info = detail(answer, ErrorInfo)
    assert (info.reason, info.domain) == (code.name, "weftwork")
    assert info.metadata["hint"] == code.what_to_do
    assert answer.code not in (grpc.StatusCode.OK, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert Status.FromString(answer.details).code == answer.code.value[0]


def test_a_bad_field_is_named() -> None:
    answer = answer_to(codes.INVALID_CIDR.refusal("cidr: 'x' is not a CIDR", field="cidr"), "/a/B")

    assert [one.field for one in detail(answer, BadRequest).field_violations] == ["cidr"]


def test_dependents_are_listed() -> None:
    answer = answer_to(codes.IN_USE.refusal("in use", dependents="port p1, DNAT 203.0.113.1:80:tcp"), "/a/B")

    subjects = [one.subject for one in detail(answer, PreconditionFailure).violations]
    assert subjects == ["port p1", "DNAT 203.0.113.1:80:tcp"]


def test_a_lost_race_is_told_from_a_conflict_that_stays() -> None:
    assert answer_to(codes.REVISION_CHANGED.refusal("x"), "/a/B").code is grpc.StatusCode.ABORTED
    assert answer_to(codes.CIDR_OVERLAP.refusal("x"), "/a/B").code is grpc.StatusCode.FAILED_PRECONDITION


def test_a_store_out_of_reach_says_when_to_try_again() -> None:
    answer = answer_to(Failure("STORE_UNAVAILABLE", "the disk is full"), "/a/B")

    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert detail(answer, ErrorInfo).reason == "STORE_UNAVAILABLE"
    assert detail(answer, RetryInfo).retry_delay.ToSeconds() > 0


def test_a_mistake_of_ours_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = answer_to(ZeroDivisionError("secret"), "/a/B")

    info = detail(answer, ErrorInfo)
    assert answer.code is grpc.StatusCode.INTERNAL
    assert b"secret" not in answer.details
    assert "secret" not in answer.message
    assert info.metadata["request_id"] in caplog.text
    assert "secret" in caplog.text


def test_the_longest_error_fits_into_a_header() -> None:
    long = "ü" * 50_000
    refusal = codes.IN_USE.refusal(long, field=long, other=long, dependents=", ".join(["port " + "p" * 63] * 20))

    answer = answer_to(refusal, "/a/B")

    as_sent = len(answer.details) * 4 / 3 + len(quote(answer.message))  # base64 and percent-encoded
    assert as_sent < HEADER_BYTES_MAX
