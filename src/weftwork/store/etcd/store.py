"""The seam's store over etcd. Revisions are made of etcd's own: they rise, and skip what others wrote there."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from typing import Any, Self

from weftwork.base.errors import Failure
from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.seams.store import Change, Compacted, Conflict, RangeResult, Record, Transaction
from weftwork.store.etcd.client import Etcd, EtcdPlace
from weftwork.store.etcd.commits import Commits
from weftwork.store.etcd.errors import EtcdFailure, What
from weftwork.store.etcd.follower import Follower
from weftwork.store.etcd.keys import Names, end_of
from weftwork.store.etcd.moments import moment_of, place_in, revision_of, value_in, whole_until
from weftwork.store.followed import Followed
from weftwork.store.keys import check_key, check_prefix, check_transaction, first_after

KEEP_REVISIONS = 100_000
_TRIM_PIECE = 256
_TRIM_MOMENTS = 8
_FOLLOWING_S = 2.0
"""How long a commit that is done waits for this process' watches to have seen it."""
_PAGE_BYTES = 4 * 1024 * 1024
_PAGE_RECORDS = 256
_IN_FLIGHT_MAX = 256


class EtcdStore:
    """Open until `close`; belongs to the event loop that opened it. Several may be open over one etcd.

    Cancelling a `commit` does not take it back: it may still happen. Watches end when the store is closed.
    """

    def __init__(self, etcd: Etcd, keep_revisions: int) -> None:
        """Use `open`."""
        self.etcd = etcd
        self.names = Names(etcd.place.prefix.encode())
        self._keep_revisions = keep_revisions
        self._followed = Followed(moment_of=moment_of)
        self._commits = Commits(etcd, self.names)
        self._follower = Follower(etcd, self.names, self._followed, self._commits.mark)
        self._compacted = 0
        self._places = asyncio.Semaphore(_IN_FLIGHT_MAX)
        self._under_way: set[asyncio.Task[int]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, place: EtcdPlace, *, keep_revisions: int = KEEP_REVISIONS) -> Self:
        """Failure STORE_UNAVAILABLE when it is out of reach, or does not let us in."""
        store = cls(Etcd(place), keep_revisions)
        try:
            store._followed.begin(await store._commits.open())
        except BaseException:
            await store.etcd.close()
            raise
        store._loop(store._follower.run())
        store._loop(store._commits.keep())
        store._loop(store._trim())
        return store

    @property
    def doubts(self) -> int:
        """Commits that were in doubt for a moment, because a connection broke; each was cleared up."""
        return self._commits.doubts

    async def get(self, key: str) -> Record | None:
        check_key(key)
        self._check_open()
        found = await self.etcd.range(pb.RangeRequest(key=self.names.of(key)))
        return self._record(found.kvs[0]) if found.kvs else None

    async def range(self, prefix: str, *, after: str = "", limit: int = 0) -> RangeResult:
        check_prefix(prefix)
        check_prefix(after)
        self._check_open()
        while True:
            try:
                return await self._snapshot(prefix, after, limit)
            except EtcdFailure as failure:
                # The snapshot was forgotten while it was read: a newer one.
                if failure.what is not What.COMPACTED:
                    raise

    async def scan(self, prefixes: Sequence[str]) -> AsyncGenerator[RangeResult, None]:
        for prefix in prefixes:
            check_prefix(prefix)
        self._check_open()
        revision = 0
        try:
            for prefix in prefixes or ("",):
                async for some in self._pages(prefix, "", 0 if prefixes else 1, revision):
                    revision = some.revision
                    yield some if prefixes else RangeResult((), revision)
        except EtcdFailure as failure:
            if failure.what is not What.COMPACTED:
                raise
            raise Compacted(revision) from None

    async def _snapshot(self, prefix: str, after: str, limit: int) -> RangeResult:
        """All as of the first page's revision."""
        records: list[Record] = []
        async for page in self._pages(prefix, after, limit, 0):
            records += page.records
        return RangeResult(tuple(records), page.revision, page.more)

    async def _pages(self, prefix: str, after: str, limit: int, revision: int) -> AsyncIterator[RangeResult]:
        """At least one, all as of `revision`, or when that is 0 of the first one's."""
        request = pb.RangeRequest(
            key=self.names.of(first_after(prefix, after)),
            range_end=end_of(self.names.of(prefix)),
            revision=moment_of(revision),
        )
        count, page_records = 0, _PAGE_RECORDS
        more = request.key < request.range_end
        while True:
            request.limit = min(page_records, limit - count) if limit else page_records
            if not more:
                request.limit = 1
            page = await self.etcd.range(request)
            request.revision = request.revision or page.header.revision
            more = more and page.more
            records = tuple(map(self._record, page.kvs)) if request.key < request.range_end else ()
            count += len(records)
            yield RangeResult(records, revision_of(request.revision), more)
            if not more or (limit and count >= limit):
                return
            request.key = page.kvs[-1].key + b"\0"
            page_records = max(16, _PAGE_BYTES // max(page.ByteSize() // len(page.kvs), 256))

    async def commit(self, transaction: Transaction) -> int:
        check_transaction(transaction)
        async with self._places:
            self._check_open()
            task = asyncio.create_task(self._commit(transaction))
            self._under_way.add(task)
            task.add_done_callback(self._landed)
            # A caller who leaves does not stop it half-way: its slot would stay in doubt.
            return await asyncio.shield(task)

    async def _commit(self, transaction: Transaction) -> int:
        """Watches first: whoever hears that its commit is done finds that the views have seen it already."""
        try:
            revision = await self._commits.commit(transaction)
        except Conflict as conflict:
            if conflict.revision:
                raise
            await self._see_all()
            raise Conflict(conflict.failed, self._followed.newest()) from None
        await self._followed.reached(revision, _FOLLOWING_S)
        return revision

    async def catch_up(self, prefix: str) -> int:
        self._check_open()
        await self._see_all()
        return self._followed.newest(prefix)

    async def _see_all(self) -> None:
        newest = await self.etcd.range(pb.RangeRequest(key=self.names.leader, count_only=True))
        if self._followed.revision < revision_of(newest.header.revision):
            # What came last may be somebody else's, whom we do not follow.
            await self._followed.reached(await self._commits.mark(), _FOLLOWING_S)

    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[Change]:
        check_prefix(prefix)
        self._check_open()
        if after < self._compacted:
            raise Compacted(self._compacted)
        async for change in self._followed.watch(prefix, after, self._follower.history):
            yield change

    async def compact(self, revision: int) -> None:
        """Of all that is in this etcd, whoever wrote it: its revisions are everybody's."""
        self._check_open()
        await self._compact(revision)

    async def _compact(self, revision: int) -> None:
        """No moment is forgotten in part."""
        moment = whole_until(revision)
        request = pb.CompactionRequest(revision=moment)
        try:
            await self.etcd.call("compaction", request, lambda member: member.kv.Compact)
        except EtcdFailure as failure:
            if failure.what is What.FUTURE:
                newest = await self.etcd.range(pb.RangeRequest(key=self.names.leader, count_only=True))
                return await self._compact(revision_of(newest.header.revision))
            if failure.what is not What.COMPACTED:
                raise
        self._compacted = max(self._compacted, revision_of(moment))
        return None

    async def close(self) -> None:
        """What was committed before is carried out. Closing twice is fine."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._followed.end()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        try:
            await self._commits.close()
        except Failure:
            pass  # Its lease goes by itself.
        finally:
            await self.etcd.close()

    async def _trim(self) -> None:
        """History is kept for `keep_revisions`; each server sees to it, and one comes first.

        A moment has one commit at least: of so many moments, the older ones are not kept. How many more some had is
        known of those that came since we began.
        """
        followed = self._followed
        milestones = deque([(followed.seen, followed.revision)])
        while True:
            await followed.reached(followed.revision + revision_of(_TRIM_MOMENTS), 3600.0)
            if followed.seen - milestones[-1][0] >= _TRIM_PIECE:
                milestones.append((followed.seen, followed.revision))
            due = followed.revision - revision_of(self._keep_revisions + _TRIM_PIECE)
            while len(milestones) > 1 and followed.seen - milestones[0][0] >= self._keep_revisions:
                due = max(due, milestones.popleft()[1])
            if due > self._compacted:
                try:
                    await self._compact(due)
                except Failure:
                    await asyncio.sleep(_FOLLOWING_S)

    def _record(self, kv: pb.KeyValue) -> Record:
        return Record(self.names.key(kv.key), value_in(kv.value), revision_of(kv.mod_revision, place_in(kv.value)))

    def _check_open(self) -> None:
        if self._closing is not None:
            raise Failure("STORE_UNAVAILABLE", f"{self.etcd.place} was closed")

    def _loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loops.append(asyncio.create_task(coroutine))

    def _landed(self, task: asyncio.Task[int]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # Heard, also when the caller has left.
