"""Commits that happen once, however often they are sent.

When the connection breaks, nobody knows whether a transaction was carried out. So each is sent in a *slot*, a key of
its own below `m/`: it compares the slot's revision and writes the slot, together with all else. Sent again after a
doubt, it either succeeds, and then the first one never can; or it finds in the slot its own number: it had happened,
at the slot's revision; or its compares fail, and then the slot is written all the same, so that a copy still under
way comes too late. Slots belong to a lease much longer than we are patient, and go with the process.
"""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import grpc.aio

from weftwork.base.errors import Failure
from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.seams.store import Compare, Conflict, Empty, Put, Transaction, Unchanged, Write
from weftwork.store.etcd.client import PATIENCE_S, Etcd, last_written, put, range_of
from weftwork.store.etcd.errors import What, failure_of, what_of
from weftwork.store.etcd.keys import Names, end_of
from weftwork.store.etcd.moments import LAST, moment_of, placed, revision_of
from weftwork.store.etcd.together import Outcome, Together, may_share

SESSION_S = 3600
"""How long marks outlive a process that was killed."""
_FENCE = b"fence"
_PAUSE_S = 0.05


@dataclass(slots=True, eq=False)
class Slot:
    key: bytes
    known: int = 0
    """The moment that last wrote it."""
    number: int = 0

    def mark(self, place: int) -> bytes:
        """Says which commit, and where in its moment it stood."""
        return b"%d/%d" % (self.number, place)

    def place_in(self, mark: bytes) -> int | None:
        """None when the mark is another commit's, or a fence."""
        number, _, place = mark.partition(b"/")
        return int(place) if number == b"%d" % self.number else None


class Commits:
    """`open` it before; belongs to one event loop."""

    def __init__(self, etcd: Etcd, names: Names) -> None:
        self._etcd = etcd
        self._names = names
        self._lease = 0
        self._session = b""
        self._slots_made = 0
        self._free: list[Slot] = []
        self._together = Together(etcd)
        self.doubts = 0
        """Commits of which, for a moment, nobody knew whether they had happened."""

    async def open(self) -> int:
        """A session of its own; the revision that wrote its first mark."""
        self._lease = secrets.randbits(62) | 1
        self._session = self._names.marks + secrets.token_hex(8).encode() + b"/"
        self._free.clear()
        self._slots_made = 0
        await grant(self._etcd, self._lease, SESSION_S)
        return await self.mark()

    async def mark(self) -> int:
        """Write a mark; its revision, which whoever follows our keys will come by."""
        request = pb.TxnRequest(success=[put(self._session + b"here", b"", self._lease)])
        answer = await self._etcd.txn(request)
        return revision_of(answer.header.revision)

    async def keep(self) -> None:
        """Until cancelled: the session stays. One whose lease is lost goes on with another."""
        while True:
            await asyncio.sleep(SESSION_S / 6)
            try:
                if not await self._etcd.keep_alive(self._lease):
                    await self.open()
            except (grpc.aio.AioRpcError, Failure):
                continue

    async def close(self) -> None:
        """Take the session's marks away."""
        await self._etcd.call(
            "lease", pb.LeaseRevokeRequest(ID=self._lease), lambda member: member.lease.LeaseRevoke, patience_s=2.0
        )

    async def commit(self, transaction: Transaction) -> int:
        """Raises Conflict, at the revision that wrote what was in the way, or 0 if it is gone.

        Failure STORE_UNAVAILABLE when nobody could be asked what became of it.
        """
        slot = self._free.pop() if self._free else self._new_slot()
        slot.number += 1
        if may_share(transaction):
            revision = await self._share(slot, transaction)
        else:
            revision = await self._carry_out(slot, transaction)
        self._free.append(slot)
        if isinstance(revision, Conflict):
            raise revision
        return revision

    def _new_slot(self) -> Slot:
        self._slots_made += 1
        return Slot(self._session + b"%d" % self._slots_made)

    async def _share(self, slot: Slot, transaction: Transaction) -> int | Conflict:
        """With others, and by itself when that did not go well."""

        def request_at(place: int) -> pb.TxnRequest:
            return self._request(slot, transaction, place=place)

        match await self._together.carry_out(transaction, request_at):
            case Outcome.REFUSED:
                return await self._carry_out(slot, transaction, asks=True)
            case Outcome.DOUBTFUL:
                self.doubts += 1
                await asyncio.sleep(_PAUSE_S)
                return await self._carry_out(slot, transaction, is_doubtful=True, asks=True)
            case moment, revision:
                slot.known = moment
                return revision

    async def _carry_out(
        self, slot: Slot, transaction: Transaction, *, is_doubtful: bool = False, asks: bool = False
    ) -> int | Conflict:
        """After a failure the slot is not used again: what was sent may still arrive."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            request = self._request(slot, transaction, is_doubtful=is_doubtful, asks=asks)
            try:
                answer: pb.TxnResponse = await self._etcd.attempt(request, lambda member: member.kv.Txn)
            except grpc.aio.AioRpcError as error:
                if what_of(error) is not What.RETRY:
                    raise failure_of(error, str(self._etcd.place)) from None
                if asyncio.get_running_loop().time() >= deadline:
                    raise failure_of(error, f"{self._etcd.place} (the commit may have happened)") from None
                self.doubts += not is_doubtful
                is_doubtful = asks = True
                await asyncio.sleep(_PAUSE_S)
                continue
            if answer.succeeded:
                slot.known = answer.header.revision
                return revision_of(slot.known)
            if not asks:
                asks = True
                continue
            if not is_doubtful:
                return _conflict(transaction, answer.responses)
            fence = answer.responses[0].response_txn
            if fence.succeeded:
                slot.known = answer.header.revision
                return _conflict(transaction, answer.responses[1:])
            found = fence.responses[0].response_range.kvs
            if not found:
                raise Failure(
                    "STORE_UNAVAILABLE", f"{self._etcd.place}: the session is lost, a commit with it in doubt"
                )
            slot.known = found[0].mod_revision
            place = slot.place_in(found[0].value)
            if place is not None:
                return revision_of(slot.known, place)
            # Our fence: its answer was lost, so the compares are judged once more.
            slot.number += 1

    def _request(
        self,
        slot: Slot,
        transaction: Transaction,
        *,
        place: int = LAST,
        is_doubtful: bool = False,
        asks: bool = False,
    ) -> pb.TxnRequest:
        """`asks` for what is in the way: only once something is, for most of the time nothing is."""
        unwritten = last_written(slot.key, slot.known)
        reads = [range_of(self._what_is_in_the_way(compare)) for compare in transaction.compares] if asks else []
        if is_doubtful:
            fence = pb.TxnRequest(
                compare=[unwritten],
                success=[put(slot.key, _FENCE, self._lease)],
                failure=[range_of(pb.RangeRequest(key=slot.key))],
            )
            reads.insert(0, pb.RequestOp(request_txn=fence))
        return pb.TxnRequest(
            compare=[unwritten, *map(self._compare, transaction.compares)],
            success=[
                put(slot.key, slot.mark(place), self._lease),
                *(self._write(one, place) for one in transaction.writes),
            ],
            failure=reads,
        )

    def _compare(self, compare: Compare) -> pb.Compare:
        if isinstance(compare, Unchanged):
            return last_written(self._names.of(compare.key), moment_of(compare.revision))
        # It holds for every key in the range, and a range without keys counts as one last written at 0.
        prefix = self._names.of(compare.prefix)
        return pb.Compare(
            target=pb.Compare.MOD,
            result=pb.Compare.LESS,
            key=prefix,
            range_end=end_of(prefix),
            mod_revision=moment_of(compare.since) + 1,
        )

    def _write(self, write: Write, place: int) -> pb.RequestOp:
        if isinstance(write, Put):
            return put(self._names.of(write.key), placed(write.value, place))
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=self._names.of(write.key)))

    def _what_is_in_the_way(self, compare: Compare) -> pb.RangeRequest:
        if isinstance(compare, Unchanged):
            return pb.RangeRequest(key=self._names.of(compare.key), keys_only=True)
        prefix = self._names.of(compare.prefix)
        return pb.RangeRequest(
            key=prefix,
            range_end=end_of(prefix),
            keys_only=True,
            min_mod_revision=moment_of(compare.since) + 1,
            limit=0 if compare.since else 1,
        )


async def grant(etcd: Etcd, lease: int, ttl_s: int) -> None:
    """A lease by a number that we chose: asked for twice, it is there once."""
    try:
        await etcd.call("lease", pb.LeaseGrantRequest(ID=lease, TTL=ttl_s), lambda member: member.lease.LeaseGrant)
    except Failure as failure:
        if "lease already exists" not in failure.message:
            raise


def _conflict(transaction: Transaction, reads: Iterable[pb.ResponseOp]) -> Conflict:
    """At the revision that wrote what was in the way; at 0 when it was a removal."""
    failed: list[Compare] = []
    in_the_way = 0
    for compare, read in zip(transaction.compares, reads, strict=True):
        revisions = [kv.mod_revision for kv in read.response_range.kvs]
        newest = max(revisions, default=0)
        holds = not revisions if isinstance(compare, Empty) else newest == moment_of(compare.revision)
        if not holds:
            failed.append(compare)
            in_the_way = max(in_the_way, newest)
    if not failed:
        raise Failure("STORE_UNAVAILABLE", "etcd: a mark of ours was written by somebody else")
    return Conflict(tuple(failed), revision_of(in_the_way))
