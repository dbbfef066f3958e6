"""Many transactions in one SQLite transaction: each is judged as if it were alone, in the order of arrival.

Few, large statements: every step of a statement gives up the interpreter's lock, and beside a busy event
loop getting it back can take milliseconds. So rows are written by the hundred and compares read at once, and what
is left over is filled up with nothing, for one statement more costs more than many empty rows.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import msgspec

from weftwork.seams.store import Compare, Conflict, Put, Remove, Transaction, Unchanged
from weftwork.store.codec import encode
from weftwork.store.keys import end_of
from weftwork.store.recent import Entry, Pair

_SIZES = (1, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of rows in one statement; a handful, so that every statement stays prepared."""
_decode_revisions = msgspec.json.Decoder(dict[str, int]).decode

BEYOND_TEXT = b""
"""Sorts above every text: SQLite orders blobs behind texts."""


@dataclass(slots=True)
class Batch:
    """What came of some transactions: `results` in their order, `entries` for those that took effect."""

    revision: int
    results: list[int | Conflict] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    puts: dict[str, tuple[str, int, bytes]] = field(default_factory=dict)
    removals: set[str] = field(default_factory=set)
    packed: list[tuple[int, bytes]] = field(default_factory=list)


def write_batch(connection: sqlite3.Connection, transactions: Sequence[Transaction], revision: int) -> Batch:
    """Judge and write all, inside the SQLite transaction the caller began; `revision` is the newest there."""
    batch = Batch(revision)
    known = _revisions_of(connection, _keys_that_matter(transactions))
    for transaction in transactions:
        failed = tuple(c for c in transaction.compares if not _holds(connection, c, known))
        if failed:
            batch.results.append(Conflict(failed, batch.revision))
        else:
            _accept(batch, transaction, known)
    _write_rows(connection, "latest", 3, batch.puts.values())
    _remove_rows(connection, batch.removals)
    _write_rows(connection, "history", 2, batch.packed)
    return batch


def _accept(batch: Batch, transaction: Transaction, known: dict[str, int]) -> None:
    """Give it the next revision; `known` is from now on what the following transactions compare with."""
    batch.revision += 1
    revision = batch.revision
    pairs: list[Pair] = []
    for write in transaction.writes:
        key = write.key
        if isinstance(write, Put):
            value = write.value
            batch.puts[key] = (key, revision, value)
            batch.removals.discard(key)
            known[key] = revision
            pairs.append((key, value))
        elif known.get(key):
            batch.puts.pop(key, None)
            batch.removals.add(key)
            known[key] = 0
            pairs.append((key, None))
    packed = encode(pairs)
    batch.packed.append((revision, packed))
    batch.entries.append(Entry(revision, pairs, len(packed)))
    batch.results.append(revision)


def _holds(connection: sqlite3.Connection, compare: Compare, known: dict[str, int]) -> bool:
    if isinstance(compare, Unchanged):
        return known.get(compare.key, 0) == compare.revision
    prefix = compare.prefix
    if any(revision > compare.since and key.startswith(prefix) for key, revision in known.items()):
        return False
    # What is in the table may have been removed earlier in this batch: then it is known, with revision 0.
    rows = connection.execute(
        "SELECT key FROM latest WHERE key >= ? AND key < ? AND revision > ? ORDER BY key",
        (prefix, end_of(prefix) or BEYOND_TEXT, compare.since),
    )
    return all(key in known for (key,) in rows)


def _keys_that_matter(transactions: Iterable[Transaction]) -> list[str]:
    """Keys whose present revision decides something: those compared, and those removed."""
    keys = {c.key for t in transactions for c in t.compares if isinstance(c, Unchanged)}
    keys.update(w.key for t in transactions for w in t.writes if isinstance(w, Remove))
    return list(keys)


def _revisions_of(connection: sqlite3.Connection, keys: list[str]) -> dict[str, int]:
    """Those of `keys` that exist; read in one step, as JSON."""
    known: dict[str, int] = {}
    for size, chunk in _chunks(keys, 1):
        (found,) = connection.execute(_select_revisions(size), chunk).fetchone()
        known.update(_decode_revisions(found))
    return known


def _write_rows(connection: sqlite3.Connection, table: str, width: int, rows: Iterable[tuple[object, ...]]) -> None:
    for size, values in _chunks([value for row in rows for value in row], width):
        connection.execute(_insert(table, width, size), values)


def _remove_rows(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    for size, values in _chunks(list(keys), 1):
        connection.execute(_delete(size), values)


def _chunks(values: Sequence[object], width: int) -> Iterable[tuple[int, list[object]]]:
    """(rows, their values) for as few statements as can be; rows behind the last are all NULL."""
    largest = _SIZES[-1] * width
    for start in range(0, len(values), largest):
        chunk = values[start : start + largest]
        size = next(size for size in _SIZES if size * width >= len(chunk))
        yield size, [*chunk, *[None] * (size * width - len(chunk))]


@cache
def _insert(table: str, width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    update = " ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value"
    filled = f"SELECT * FROM (VALUES {','.join([row] * rows)}) WHERE column1 IS NOT NULL"  # noqa: S608
    return f"INSERT INTO {table} {filled}" + (update if table == "latest" else "")


@cache
def _delete(rows: int) -> str:
    return f"DELETE FROM latest WHERE key IN ({','.join('?' * rows)})"  # noqa: S608


@cache
def _select_revisions(rows: int) -> str:
    return f"SELECT json_group_object(key, revision) FROM latest WHERE key IN ({','.join('?' * rows)})"  # noqa: S608
