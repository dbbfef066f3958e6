"""Every reason code explains itself."""

import re

import pytest

from weftwork.base.codes import ALL, Code

APPENDIX_A = (
    "INVALID_CIDR",
    "CIDR_OVERLAP",
    "SUBNET_OUTSIDE_VPC",
    "IP_OUTSIDE_SUBNET",
    "IP_ALREADY_ALLOCATED",
    "OVN_CONNECTION_FAILED",
    "SECURITY_GROUP_NOT_FOUND",
    "PORT_ALREADY_ATTACHED",
)


@pytest.mark.parametrize("code", ALL.values(), ids=ALL)
def test_a_code_says_what_it_means_and_what_to_do(code: Code) -> None:
    assert re.fullmatch(r"[A-Z0-9_]{3,63}", code.name)
    assert code.title and not code.title.endswith(".")
    assert code.meaning.endswith(".") and code.what_to_do.endswith(".")
    refusal = code.refusal("told", field="name")
    assert (refusal.kind, refusal.code, refusal.hint) == (code.kind, code.name, code.what_to_do)
    assert refusal.details == {"field": "name"}


def test_the_specifications_codes_are_there() -> None:
    assert set(APPENDIX_A) <= ALL.keys()
