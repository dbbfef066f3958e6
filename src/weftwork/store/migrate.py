"""Everything of one store into an empty other one, verified by reading both again."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from weftwork.base import codes
from weftwork.seams.store import Conflict, Empty, Put, Record, Store, Transaction

_PAGE = 1000
_BATCH_KEYS = 100
_BATCH_BYTES = 512 * 1024
"""So that a batch is small enough for an etcd that nobody told to take large ones."""


@dataclass(frozen=True, slots=True)
class Content:
    keys: int
    sha256: str
    """Over keys and values, in the order of keys."""


async def migrate(source: Store, target: Store) -> Content:
    """What is in both now. Raises Refusal STORE_NOT_EMPTY, before anything is written, and STORE_NOT_MOVED."""
    if (await target.range("", limit=1)).records:
        raise codes.STORE_NOT_EMPTY.refusal("the target holds keys already")
    written = 0
    try:
        async for batch in _batches(source):
            puts = tuple(Put(record.key, record.value) for record in batch)
            # Since our own last write, nobody else's.
            written = await target.commit(Transaction((Empty("", written),), puts))
    except Conflict:
        raise codes.STORE_NOT_MOVED.refusal("somebody else writes into the target") from None
    ours, theirs = await content(source), await content(target)
    if ours != theirs:
        raise codes.STORE_NOT_MOVED.refusal(f"the source holds {ours}, the target {theirs}")
    return theirs


async def content(store: Store) -> Content:
    digest = hashlib.sha256()
    keys = 0
    async for record in _records(store):
        for part in (record.key.encode(), record.value):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        keys += 1
    return Content(keys, digest.hexdigest())


async def _records(store: Store) -> AsyncIterator[Record]:
    after, more = "", True
    while more:
        page = await store.range("", after=after, limit=_PAGE)
        for record in page.records:
            yield record
        more = page.more
        after = page.records[-1].key if page.records else ""


async def _batches(store: Store) -> AsyncIterator[list[Record]]:
    batch: list[Record] = []
    size_bytes = 0
    async for record in _records(store):
        if batch and (len(batch) >= _BATCH_KEYS or size_bytes + len(record.value) > _BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += len(record.value)
    if batch:
        yield batch
