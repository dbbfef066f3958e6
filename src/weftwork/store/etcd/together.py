"""Commits that go to etcd in one transaction of its own, each inside it with its own compares: while some are under
way, those that come next wait and share the next journey. What a journey costs us is then shared, too.

etcd judges all compares before it writes anything, so only commits that have no key in common go together: then it is
as if they came one after the other. Whatever goes wrong, each goes on by itself; its slot says what became of it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import grpc.aio

from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.seams.store import Put, Transaction, Unchanged
from weftwork.store.etcd.client import Etcd
from weftwork.store.etcd.moments import LAST, PLACES, revision_of

UNDER_WAY_MAX = 2
"""One that etcd works on, while we make the next."""
SHARED_MAX = 32
PARTS_MAX = 48
"""Of one commit. etcd takes 128 operations at each level, and counts those of the level above as well."""
BYTES_MAX = 256 * 1024
"""Of one journey: far below what etcd takes."""

assert SHARED_MAX <= PLACES, "each commit needs a place"


class Outcome(Enum):
    REFUSED = "one of its compares did not hold"
    DOUBTFUL = "nobody knows whether it was carried out"


@dataclass(slots=True, eq=False)
class Passenger:
    """`request_at` makes what is sent of it, at a place in the moment."""

    transaction: Transaction
    request_at: Callable[[int], pb.TxnRequest]
    answer: "asyncio.Future[tuple[int, int] | Outcome]"


@dataclass(slots=True)
class _Group:
    passengers: list[Passenger] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    size_bytes: int = 0

    def takes(self, one: Transaction) -> bool:
        """And adds its keys, if so."""
        writes = {write.key for write in one.writes}
        compares = {compare.key for compare in one.compares if isinstance(compare, Unchanged)}
        size_bytes = sum(len(write.value) for write in one.writes if isinstance(write, Put))
        is_full = len(self.passengers) >= SHARED_MAX or (self.passengers and self.size_bytes + size_bytes > BYTES_MAX)
        if is_full or not writes.isdisjoint(self.named) or not compares.isdisjoint(self.written):
            return False
        self.written |= writes
        self.named |= writes | compares
        self.size_bytes += size_bytes
        return True


def may_share(transaction: Transaction) -> bool:
    """A range that has to be empty would have to be held against the others' keys, and a removal has no place."""
    return (
        max(len(transaction.compares), len(transaction.writes)) < PARTS_MAX
        and all(isinstance(one, Put) for one in transaction.writes)
        and all(isinstance(one, Unchanged) for one in transaction.compares)
    )


class Together:
    """Belongs to one event loop."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._waiting: list[Passenger] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_called = False

    async def carry_out(
        self, transaction: Transaction, request_at: Callable[[int], pb.TxnRequest]
    ) -> tuple[int, int] | Outcome:
        """etcd's revision and ours once it is done. For what `may_share`."""
        answer: asyncio.Future[tuple[int, int] | Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(Passenger(transaction, request_at, answer))
        self._call()
        return await answer

    def _call(self) -> None:
        """In the loop's next turn, so that those of one turn go together."""
        if self._waiting and not self._is_called and len(self._under_way) < UNDER_WAY_MAX:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._is_called = False
        group = _Group()
        left_behind: list[Passenger] = []
        for one in self._waiting:
            (group.passengers if group.takes(one.transaction) else left_behind).append(one)
        self._waiting = left_behind
        journey = asyncio.create_task(self._travel(group.passengers))
        self._under_way.add(journey)
        journey.add_done_callback(self._arrived)
        self._call()

    def _arrived(self, journey: asyncio.Task[None]) -> None:
        self._under_way.discard(journey)
        self._call()

    async def _travel(self, group: list[Passenger]) -> None:
        try:
            found = await self._sent(group)
        except grpc.aio.AioRpcError:
            found = [Outcome.DOUBTFUL] * len(group)
        for one, outcome in zip(group, found, strict=True):
            if not one.answer.done():
                one.answer.set_result(outcome)

    async def _sent(self, group: list[Passenger]) -> "list[tuple[int, int] | Outcome]":
        """Raises AioRpcError."""
        if len(group) == 1:
            answer: pb.TxnResponse = await self._etcd.attempt(group[0].request_at(LAST), lambda member: member.kv.Txn)
            moment = answer.header.revision
            return [(moment, revision_of(moment)) if answer.succeeded else Outcome.REFUSED]
        places = range(PLACES - len(group), PLACES)
        requests = [one.request_at(place) for one, place in zip(group, places, strict=True)]
        shared = pb.TxnRequest(success=[pb.RequestOp(request_txn=one) for one in requests])
        answer = await self._etcd.attempt(shared, lambda member: member.kv.Txn)
        moment = answer.header.revision
        return [
            (moment, revision_of(moment, place)) if one.response_txn.succeeded else Outcome.REFUSED
            for one, place in zip(answer.responses, places, strict=True)
        ]
