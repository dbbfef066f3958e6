"""The journal: who changed what, and what was there before. Each change writes its line in its own transaction.

So a line is there exactly when its change is, and the revision of its record is the change's. Lines stand newest first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from weftwork.actions import rows
from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.seams.store import Put, Record, Write

LINE_BYTES_MAX = 256 * 1024
"""A change of more things than fit is told in several lines, of one revision."""
_NOTHING = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Author:
    """Who asked for a change: `who` in the words of access control, `where` they came from, by which `call`."""

    who: str = ""
    where: str = ""
    call: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A thing before and after; None where it was not there, or is no more."""

    key: ThingKey
    before: Thing | None
    after: Thing | None


@dataclass(frozen=True, slots=True)
class Line:
    """What one change did to one project. `at_s` is the server's time when it was decided."""

    owner: ProjectKey
    revision: int
    at_s: int
    author: Author
    changes: tuple[Changed, ...]


class _ChangeRow(msgspec.Struct, omit_defaults=True, gc=False):
    key: str
    before: msgspec.Raw = _NOTHING
    after: msgspec.Raw = _NOTHING


class _LineRow(msgspec.Struct, omit_defaults=True, gc=False):
    at: int
    who: str = ""
    where: str = ""
    call: str = ""
    note: str = ""
    changes: list[_ChangeRow] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_LineRow)


def lines_of(view: IntentView, writes: Iterable[Write], *, author: Author, at_s: int, token: str) -> Iterator[Put]:
    """The lines of what is about to be written, decided on the view as it is. `token` keeps them apart from others."""
    for owner, changes in _by_owner(view, writes).items():
        for number, some in enumerate(_portions(changes)):
            row = _LineRow(at_s, author.who, author.where, author.call, author.note, some)
            stamp = f"{keys.journal_stamp(view.revision)}-{token}-{number:04d}"
            yield Put(keys.journal(owner, stamp), _encoder.encode(row))


def line(record: Record) -> Line:
    """Raises ValueError when it cannot be read."""
    owner = keys.journal_owner(record.key)
    row = _decoder.decode(record.value)
    author = Author(row.who, row.where, row.call, row.note)
    return Line(owner, record.revision, row.at, author, tuple(_changed(one) for one in row.changes))


def _by_owner(view: IntentView, writes: Iterable[Write]) -> dict[ProjectKey, list[_ChangeRow]]:
    found: dict[ProjectKey, list[_ChangeRow]] = {}
    for write in writes:
        key = parse_thing_key(write.key)
        if key is not None:
            old = view.find(key)
            before = msgspec.Raw(rows.encode(old)) if old is not None else _NOTHING
            after = msgspec.Raw(write.value) if isinstance(write, Put) else _NOTHING
            found.setdefault(key.owner, []).append(_ChangeRow(write.key, before, after))
    return found


def _portions(changes: list[_ChangeRow]) -> Iterator[list[_ChangeRow]]:
    portion: list[_ChangeRow] = []
    size = 0
    for one in changes:
        own = len(one.key) + len(bytes(one.before)) + len(bytes(one.after))
        if portion and size + own > LINE_BYTES_MAX:
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += own
    yield portion


def _changed(row: _ChangeRow) -> Changed:
    key = parse_thing_key(row.key)
    if key is None:
        raise ValueError(f"{row.key} is no thing")
    return Changed(key, *(_thing(key, bytes(one)) for one in (row.before, row.after)))


def _thing(key: ThingKey, value: bytes) -> Thing | None:
    return None if value == bytes(_NOTHING) else rows.decode(key, value)
