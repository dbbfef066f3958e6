"""OVSDB's values as Python's (RFC 7047, 5.1): sets as frozensets, maps as dicts, UUIDs as RowId."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class RowId(str):
    """A UUID as the server writes it: a text is made and hashed fast, and there is one per row and reference."""

    __slots__ = ()


Row = Mapping[str, Any]
"""Column → value. A set of at most one stands for itself or is an empty set."""


@dataclass(frozen=True, slots=True)
class Named:
    """The row that an insert of the same transaction makes under this name."""

    name: str


_NOTHING = RowId("00000000-0000-0000-0000-000000000000")

_PLAIN = frozenset({str, int, float, bool})
"""What JSON has, too: most of what is sent, so it is looked for first."""

_MANY = frozenset({frozenset, set, tuple, list})


def encode(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _MANY:
        return ["set", [one if type(one) is str else encode(one) for one in value]]
    if kind is dict:
        return ["map", [[encode(key), encode(value[key])] for key in sorted(value)]]
    if kind is Named:
        return ["named-uuid", value.name]
    if kind is RowId:
        return ["uuid", str(value)]
    if isinstance(value, str):
        return value
    raise AssertionError(f"OVSDB has no {kind.__name__}")


def decode(value: Any) -> Any:
    if type(value) is not list:
        return value
    kind, told = value
    if kind == "uuid":
        return RowId(told)
    if kind == "set":
        return frozenset(map(decode, told))
    return {decode(key): decode(one) for key, one in told}


def decode_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: decode(value) for column, value in row.items()}


def holds_many(kind: Any) -> bool:
    """Whether a column of this type (RFC 7047, 3.2) holds a set or a map rather than one value or none."""
    return isinstance(kind, dict) and ("value" in kind or kind.get("max", 1) != 1)


def default_of(kind: Any) -> Any:
    """What a column of this type holds when nobody has set it."""
    if isinstance(kind, dict):
        if "value" in kind:
            return {}
        if kind.get("min", 1) == 0:
            return frozenset()
        kind = kind["key"]
    base = kind["type"] if isinstance(kind, dict) else kind
    return {"integer": 0, "real": 0.0, "boolean": False, "string": "", "uuid": _NOTHING}[base]


def amended(before: Any, change: Any) -> Any:
    """A set, or a map, after a change: elements that are in one of both (ovsdb-server(7), 4.1.14)."""
    if isinstance(before, dict):
        added = {key: value for key, value in change.items() if before.get(key) != value}
        kept = {key: value for key, value in before.items() if key not in change}
        return kept | added
    return _set_of(before) ^ _set_of(change)


def _set_of(column: Any) -> frozenset[Any]:
    return column if isinstance(column, frozenset) else frozenset({column})


def insert(table: str, row: Row, name: str = "") -> dict[str, Any]:
    told = {column: value if type(value) is str else encode(value) for column, value in row.items()}
    operation = {"op": "insert", "table": table, "row": told}
    if name:
        operation["uuid-name"] = name
    return operation


def update(table: str, uuid: RowId, row: Row) -> dict[str, Any]:
    changed = {column: encode(value) for column, value in row.items()}
    return {"op": "update", "table": table, "where": _is(uuid), "row": changed}


def delete(table: str, uuid: RowId) -> dict[str, Any]:
    return {"op": "delete", "table": table, "where": _is(uuid)}


def mutate(table: str, uuid: RowId | Named, column: str, mutator: str, values: Iterable[Any]) -> dict[str, Any]:
    """`mutator` is `insert` or `delete`, of elements of a set."""
    change = [column, mutator, encode(tuple(values))]
    return {"op": "mutate", "table": table, "where": _is(uuid), "mutations": [change]}


def put_in_map(table: str, uuid: RowId, column: str, key: str, value: str) -> dict[str, Any]:
    """One entry, whether the key has one already or not; the others may be somebody else's."""
    changes = [[column, "delete", encode((key,))], [column, "insert", encode({key: value})]]
    return {"op": "mutate", "table": table, "where": _is(uuid), "mutations": changes}


def wait_for_row(table: str, uuid: RowId) -> dict[str, Any]:
    """The transaction fails unless the row is there: a mutation of no row would be silently nothing."""
    return {
        "op": "wait",
        "timeout": 0,
        "table": table,
        "where": _is(uuid),
        "columns": ["_uuid"],
        "until": "==",
        "rows": [{"_uuid": encode(uuid)}],
    }


def _is(uuid: RowId | Named) -> list[Any]:
    return [["_uuid", "==", encode(uuid)]]
