from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.controller.fleet_view import FleetView
from weftwork.program.resource import Program
from weftwork.rpc import programs
from weftwork.testing.fleets import SpreadView, program_of, spread_views

LAWS = settings(max_examples=15, deadline=None)


def _program(view: SpreadView) -> Program:
    whole: Any = view
    cut = FleetView(whole)
    cut.start()
    return program_of(cut.of("h1").intent, "h1")


@given(spread_views().map(_program))
@LAWS
def test_what_was_written_is_read_as_the_same_program(program: Program) -> None:
    assert programs.decode(programs.encode(program)) == program


@given(spread_views().map(_program), st.randoms(use_true_random=False))
@LAWS
def test_a_digest_follows_changes_and_not_their_order(program: Program, random: Any) -> None:
    resources = sorted(program, key=lambda one: one.key)
    random.shuffle(resources)
    half = len(resources) // 2

    summed = (programs.digest_of(resources[:half]) + programs.digest_of(resources[half:])) % programs.MODULUS

    assert summed == programs.digest_of(program)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x91\xa4Nope", b"\x91\x92\xa9Namespace\xa1a", b"\x91\x01"])
def test_what_is_no_program_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        programs.decode(data)
