"""The audit log: the journal's lines of every change, and beside them changes of access and everything refused.

All have keys that sort newest first by the same stamp, so that they are read as one list.
"""

import heapq
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from weftwork.actions.journal import Author
from weftwork.actions.network import Network
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.seams.store import Put, Record, Store

_LAST = 10**16 - 1
_LAST_MS = 10**14 - 1
PAGE_SIZE = 100
PAGE_SIZE_MAX = 1000
LOOKED_AT_MAX = 5000
"""Records that one call reads at most, whatever it finds: what follows comes with the next page."""
READ_AT_ONCE = 250
SKEW_S = 3600
"""How far the clocks of servers may be apart, so that a list `since` a time may end."""
MESSAGE_MAX = 500


@dataclass(frozen=True, slots=True)
class AccessChange:
    """A token or a quota, as it may be shown, before and after."""

    what: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """`refused` is the reason code; empty for what was done. `changes` are (what, before, after), as JSON texts."""

    at_s: int
    revision: int
    who: str
    where: str
    call: str
    org: str
    project: str
    refused: str = ""
    message: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to list; what is empty or 0 does not matter. `who` and `about` are parts of the words they look for."""

    org: str = ""
    project: str = ""
    since_s: int = 0
    until_s: int = 0
    who: str = ""
    about: str = ""
    refused_only: bool = False


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    at: int
    who: str = ""
    where: str = ""
    call: str = ""
    org: str = ""
    project: str = ""
    refused: str = ""
    message: str = ""
    changes: list[tuple[str, msgspec.Raw, msgspec.Raw]] = []


class _JournalChange(msgspec.Struct, gc=False):
    key: str
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")


class _JournalRow(msgspec.Struct, gc=False):
    at: int
    who: str = ""
    where: str = ""
    call: str = ""
    changes: list[_JournalChange] = []


_encode = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(_Row).decode
_read_journal = msgspec.json.Decoder(_JournalRow).decode


def record_of(network: Network, org: str, project: str, change: AccessChange) -> Put:
    """The line of a change of access, for the transaction that makes it."""
    author = network.author
    raw = (change.what, msgspec.Raw(_encode(change.before)), msgspec.Raw(_encode(change.after)))
    row = _Row(network.clock.now_s(), author.who, author.where, author.call, org, project, changes=[raw])
    return Put(keys.audit(_stamp(network.view.revision)), _encode(row))


def refusal_of(network: Network, author: Author, tenant: str, refusal: Refusal, left_out: int) -> Put:
    """The line of something refused; `left_out` such lines before it were too many."""
    org, _, project = tenant.partition("/")
    message = refusal.message[:MESSAGE_MAX]
    if left_out:
        message += f" (and {left_out} more refusals of the same caller)"
    row = _Row(network.clock.now_s(), author.who, author.where, author.call, org, project, refusal.code, message)
    return Put(keys.audit(_stamp(network.view.revision)), _encode(row))


def _stamp(revision: int) -> str:
    """Newest first, by revision and then by time."""
    return f"{_LAST - revision:016d}-{_LAST_MS - time.time_ns() // 1_000_000:014d}{uuid4().hex[:6]}"


async def list_entries(
    store: Store, wanted: Wanted, *, page_size: int = 0, page_token: str = ""
) -> tuple[list[Entry], str]:
    """Newest first, and the token of the next page: a page may be short, or empty, and not be the last.

    Refusal INVALID_PAGE_TOKEN.
    """
    size = min(page_size or PAGE_SIZE, PAGE_SIZE_MAX)
    after = _stamp_in(page_token)
    entries: list[Entry] = []
    looked_at = 0
    async for stamp, entry in _merged([_source(store, prefix, after) async for prefix in _prefixes(store, wanted)]):
        looked_at += 1
        if entry.at_s < wanted.since_s - SKEW_S:
            return entries, ""
        if _is_wanted(entry, wanted):
            entries.append(entry)
        if len(entries) >= size or looked_at >= LOOKED_AT_MAX:
            return entries, stamp
    return entries, ""


async def _prefixes(store: Store, wanted: Wanted) -> AsyncIterator[str]:
    """Of the lists to be read: ours, and the journals of the projects in question."""
    yield keys.audit()
    if wanted.project:
        yield keys.journal(ProjectKey(wanted.org, wanted.project))
        return
    root = f"{keys.JOURNAL}{wanted.org}/" if wanted.org else keys.JOURNAL
    after = ""
    while True:
        found = (await store.range(root, after=after, limit=1)).records
        if not found:
            return
        prefix = keys.journal(keys.journal_owner(found[0].key))
        yield prefix
        after = f"{prefix}\x7f"


async def _source(store: Store, prefix: str, after: str) -> AsyncIterator[tuple[str, Entry]]:
    at = f"{prefix}{after}" if after else ""
    while True:
        found = await store.range(prefix, after=at, limit=READ_AT_ONCE)
        for record in found.records:
            entry = _entry(prefix, record)
            if entry is not None:
                yield record.key.removeprefix(prefix), entry
        if not found.more:
            return
        at = found.records[-1].key


async def _merged(sources: list[AsyncIterator[tuple[str, Entry]]]) -> AsyncIterator[tuple[str, Entry]]:
    heap: list[tuple[str, int, Entry]] = []
    for number, source in enumerate(sources):
        async for stamp, entry in source:
            heap.append((stamp, number, entry))
            break
    heapq.heapify(heap)
    while heap:
        stamp, number, entry = heap[0]
        yield stamp, entry
        try:
            following = await anext(sources[number])
        except StopAsyncIteration:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following[0], number, following[1]))


def _entry(prefix: str, record: Record) -> Entry | None:
    """None for what cannot be read."""
    try:
        if prefix == keys.audit():
            row = _read(record.value)
            changes = tuple((what, bytes(old).decode(), bytes(new).decode()) for what, old, new in row.changes)
            where = (row.who, row.where, row.call, row.org, row.project)
            return Entry(row.at, record.revision, *where, row.refused, row.message, changes)
        line = _read_journal(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    owner = keys.journal_owner(record.key)
    changes = tuple((one.key, bytes(one.before).decode(), bytes(one.after).decode()) for one in line.changes)
    return Entry(line.at, record.revision, line.who, line.where, line.call, owner.org, owner.project, changes=changes)


def _is_wanted(entry: Entry, wanted: Wanted) -> bool:
    return (
        wanted.org in ("", entry.org)
        and wanted.project in ("", entry.project)
        and wanted.since_s <= entry.at_s
        and (not wanted.until_s or entry.at_s <= wanted.until_s)
        and wanted.who in entry.who
        and (not wanted.refused_only or bool(entry.refused))
        and (not wanted.about or any(_told(wanted.about, entry)))
    )


def _told(about: str, entry: Entry) -> Iterator[bool]:
    yield about in entry.call
    yield about in entry.message
    for change in entry.changes:
        yield any(about in text for text in change)


def _stamp_in(token: str) -> str:
    if token and not (token.isascii() and set(token) <= set("0123456789abcdef-") and len(token) <= 80):
        raise codes.INVALID_PAGE_TOKEN.refusal("the page token is not one of this list's", field="page_token")
    return token
