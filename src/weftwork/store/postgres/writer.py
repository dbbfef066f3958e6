"""Group commit: whatever waits is judged and written in one PostgreSQL transaction, under the lock of `position`.

Each batch writes a mark of its own. When the connection breaks, the next one takes the lock first - then the old
transaction has ended, one way or the other - and looks for the mark: the batch is there, or is written again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from weftwork.base.errors import Failure
from weftwork.seams.store import Compare, Conflict, Put, Remove, Transaction, Unchanged
from weftwork.store.codec import encode
from weftwork.store.keys import end_of
from weftwork.store.postgres.place import BROKEN, PostgresPlace, failure_of, is_passing
from weftwork.store.recent import Entry, Pair

PATIENCE_S = 20.0
"""How long a batch tries to reach the server."""
MARKS_KEPT_S = 600
"""Much longer than anybody is patient."""
TRIM_PIECE = 256
_BATCH_MAX = 256
_PAUSE_S = (0.02, 0.1, 0.3)

_LOCK = "SELECT revision, compacted FROM position FOR UPDATE"
_REVISIONS = "SELECT key, revision FROM latest WHERE key = ANY($1::bytea[])"
_IN_THE_WAY = "SELECT key FROM latest WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) AND revision > $3"
_WRITE = """
WITH moved AS (UPDATE position SET revision = $1, compacted = greatest(compacted, $2) RETURNING 1),
gone AS (DELETE FROM latest WHERE key = ANY($3::bytea[])),
put AS (
    INSERT INTO latest (key, revision, value) SELECT * FROM unnest($4::bytea[], $5::bigint[], $6::bytea[])
    ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value
),
told AS (INSERT INTO history (revision, events) SELECT * FROM unnest($7::bigint[], $8::bytea[])),
marked AS (INSERT INTO batches (mark, revision) VALUES ($9, $10))
SELECT pg_notify($11, $1::text)
"""


@dataclass(slots=True, eq=False)
class Waiting:
    transaction: Transaction
    answer: asyncio.Future[int]


@dataclass(slots=True)
class Batch:
    """What becomes of some transactions on top of `base`."""

    base: int
    results: list[int | Conflict] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    puts: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    removals: set[str] = field(default_factory=set)
    packed: list[bytes] = field(default_factory=list)

    @property
    def revision(self) -> int:
        return self.base + len(self.entries)


Landed = Callable[[Batch], Awaitable[None]]


class Writer:
    """One loop and one connection. `landed` hears of each batch before its callers do."""

    def __init__(self, place: PostgresPlace, *, keep_revisions: int, landed: Landed) -> None:
        self._place = place
        self._keep_revisions = keep_revisions
        self._landed = landed
        self._orders: list[Waiting] = []
        self._has_orders = asyncio.Event()
        self._is_stopping = False
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self.compacted = 0
        self.doubts = 0
        """Batches of which, for a moment, nobody knew whether they had been committed."""

    def take(self, transaction: Transaction) -> asyncio.Future[int]:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._orders.append(Waiting(transaction, answer))
        self._has_orders.set()
        return answer

    def stop(self) -> None:
        """`run` returns when what was taken is carried out."""
        self._is_stopping = True
        self._has_orders.set()

    async def run(self) -> None:
        try:
            while True:
                await self._has_orders.wait()
                if not self._orders:
                    if self._is_stopping:
                        return
                    self._has_orders.clear()
                    continue
                orders, self._orders = self._orders[:_BATCH_MAX], self._orders[_BATCH_MAX:]
                await self._carry_out(orders)
        finally:
            await self._disconnect()

    async def _carry_out(self, orders: list[Waiting]) -> None:
        """Nobody waits for ever, and nobody is told what is not so."""
        try:
            batch = await self._until_known([order.transaction for order in orders])
            await self._landed(batch)
        except Exception as error:
            reason = failure_of(error, self._place) if isinstance(error, BROKEN) else error
            for order in orders:
                if not order.answer.done():
                    order.answer.set_exception(reason)
            return
        for order, result in zip(orders, batch.results, strict=True):
            if order.answer.done():
                continue
            if isinstance(result, int):
                order.answer.set_result(result)
            else:
                order.answer.set_exception(result)

    async def _until_known(self, transactions: list[Transaction]) -> Batch:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        mark = uuid4()
        doubtful: list[Batch] = []
        attempts = 0
        while True:
            try:
                return await self._attempt(transactions, mark, doubtful)
            except BROKEN as error:
                await self._disconnect()
                if not is_passing(error):
                    raise
                if asyncio.get_running_loop().time() >= deadline:
                    doubt = " (the commits may have happened)" if doubtful else ""
                    raise Failure("STORE_UNAVAILABLE", f"{self._place}: {error}{doubt}") from None
            await asyncio.sleep(_PAUSE_S[min(attempts, len(_PAUSE_S) - 1)])
            attempts += 1

    async def _attempt(self, transactions: list[Transaction], mark: UUID, doubtful: list[Batch]) -> Batch:
        """`doubtful` holds batches whose commit was asked for, and nobody knows: at most one of them is there."""
        if self._connection is None:
            self._connection = await self._place.connect()
        connection = self._connection
        async with connection.transaction():
            position = await connection.fetchrow(_LOCK)
            assert position is not None
            if doubtful:
                found = await connection.fetchval("SELECT revision FROM batches WHERE mark = $1", mark)
                self.doubts += 1
                for batch in doubtful:
                    if batch.base == found:
                        return batch
                doubtful.clear()
            batch = await self._judge(connection, transactions, position["revision"])
            if not batch.entries:
                return batch
            await self._write(connection, batch, mark, position["compacted"])
            doubtful.append(batch)
        return batch

    async def _judge(self, connection: Any, transactions: list[Transaction], revision: int) -> Batch:
        """Each as if it were alone, in the order of arrival, with those before it in effect."""
        batch = Batch(revision)
        keys = [key.encode() for key in _keys_that_matter(transactions)]
        rows = await connection.fetch(_REVISIONS, keys) if keys else []
        known: dict[str, int] = {row["key"].decode(): row["revision"] for row in rows}
        for transaction in transactions:
            failed = tuple([c for c in transaction.compares if not await _holds(connection, c, known)])
            if failed:
                batch.results.append(Conflict(failed, batch.revision))
            else:
                _accept(batch, transaction, known)
        return batch

    async def _write(self, connection: Any, batch: Batch, mark: UUID, compacted: int) -> None:
        due = batch.revision - self._keep_revisions
        forget = due if due >= compacted + TRIM_PIECE else 0
        await connection.execute(
            _WRITE,
            batch.revision,
            forget,
            [key.encode() for key in batch.removals],
            [key.encode() for key in batch.puts],
            [revision for revision, _ in batch.puts.values()],
            [value for _, value in batch.puts.values()],
            [entry.revision for entry in batch.entries],
            batch.packed,
            mark,
            batch.base,
            self._place.schema,
        )
        if forget:
            await connection.execute("DELETE FROM history WHERE revision <= $1", forget)
            await connection.execute(
                "DELETE FROM batches WHERE written_at < now() - make_interval(secs => $1)", MARKS_KEPT_S
            )
        self.compacted = max(self.compacted, forget, compacted)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _accept(batch: Batch, transaction: Transaction, known: dict[str, int]) -> None:
    """Give it the next revision; `known` is from now on what the following transactions compare with."""
    revision = batch.revision + 1
    pairs: list[Pair] = []
    for write in transaction.writes:
        key = write.key
        if isinstance(write, Put):
            batch.puts[key] = (revision, write.value)
            batch.removals.discard(key)
            known[key] = revision
            pairs.append((key, write.value))
        elif known.get(key):
            batch.puts.pop(key, None)
            batch.removals.add(key)
            known[key] = 0
            pairs.append((key, None))
    packed = encode(pairs)
    batch.packed.append(packed)
    batch.entries.append(Entry(revision, pairs, len(packed)))
    batch.results.append(revision)


async def _holds(connection: Any, compare: Compare, known: dict[str, int]) -> bool:
    if isinstance(compare, Unchanged):
        return known.get(compare.key, 0) == compare.revision
    prefix = compare.prefix
    if any(revision > compare.since and key.startswith(prefix) for key, revision in known.items()):
        return False
    # What is in the table may have been removed earlier in this batch: then it is known, with revision 0.
    end = end_of(prefix)
    rows = await connection.fetch(_IN_THE_WAY, prefix.encode(), end.encode() if end else None, compare.since)
    return all(row["key"].decode() in known for row in rows)


def _keys_that_matter(transactions: list[Transaction]) -> set[str]:
    """Keys whose present revision decides something: those compared, and those removed."""
    keys = {c.key for t in transactions for c in t.compares if isinstance(c, Unchanged)}
    keys.update(w.key for t in transactions for w in t.writes if isinstance(w, Remove))
    return keys
