"""Revisions over etcd: commits of one moment are told apart, and what a store held before is read as it was written."""

from hypothesis import given
from hypothesis import strategies as st

from weftwork.store.etcd.moments import LAST, PLACES, moment_of, place_in, placed, revision_of, value_in

moments = st.integers(min_value=1, max_value=2**40)
places = st.integers(min_value=0, max_value=LAST)


@given(st.binary(max_size=20) | st.binary(max_size=20).map(b"\xfe".__add__), places)
def test_a_value_and_its_place_are_read_as_they_were_written(value: bytes, place: int) -> None:
    kept = placed(value, place)

    assert (value_in(kept), place_in(kept)) == (value, place)


@given(st.text(max_size=20))
def test_what_is_text_and_came_alone_stands_as_it_is(text: str) -> None:
    assert placed(text.encode()) == text.encode()


@given(moments, places, moments, places)
def test_revisions_sort_by_moment_and_then_by_place(a: int, first: int, b: int, second: int) -> None:
    one, other = revision_of(a, first), revision_of(b, second)

    assert (one < other) == ((a, first) < (b, second))
    assert moment_of(one) == a


def test_nothing_is_before_everything_and_no_commit_is_in_it() -> None:
    assert revision_of(0) == moment_of(0) == 0
    assert all(moment_of(revision) == 1 for revision in range(1, PLACES + 1))
