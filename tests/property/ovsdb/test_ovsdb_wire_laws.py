"""Values of OVSDB: what is encoded is read back, and changes of sets and maps lead from the old to the new."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.wire import RowId

_ids = st.uuids().map(str).map(RowId)
_atoms = st.one_of(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), st.booleans(), _ids)
_sets = st.frozensets(st.text(max_size=3), max_size=6)
_maps = st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=2), max_size=6)


@given(st.one_of(_atoms, _sets, st.frozensets(_ids, max_size=4), _maps))
def test_what_is_encoded_is_read_back(value: Any) -> None:
    read = wire.decode(json.loads(json.dumps(wire.encode(value))))
    assert read == value and type(read) is type(value)
    if isinstance(value, frozenset):
        assert set(map(type, read)) == set(map(type, value))


@given(_sets, _sets)
def test_the_change_of_a_set_leads_from_the_old_to_the_new(before: frozenset[str], after: frozenset[str]) -> None:
    change = before ^ after
    assert wire.amended(_as_told(before), _as_told(change)) == after


@given(_maps, _maps)
def test_the_change_of_a_map_leads_from_the_old_to_the_new(before: dict[str, str], after: dict[str, str]) -> None:
    gone = {key: value for key, value in before.items() if key not in after}
    come = {key: value for key, value in after.items() if before.get(key) != value}
    assert wire.amended(before, gone | come) == after


def test_a_column_that_nobody_set_holds_its_types_default() -> None:
    assert wire.default_of({"key": "string", "min": 0, "max": "unlimited"}) == frozenset()
    assert wire.default_of({"key": "string", "value": "string", "min": 0, "max": "unlimited"}) == {}
    assert wire.default_of("string") == "" and wire.default_of({"key": {"type": "integer"}}) == 0
    assert wire.default_of({"key": {"type": "uuid", "refTable": "ACL"}}) == RowId(
        "00000000-0000-0000-0000-000000000000"
    )


def _as_told(values: frozenset[str]) -> Any:
    """A server tells a set of one as its element."""
    return next(iter(values)) if len(values) == 1 else values
