"""A commit of which nobody knows whether it happened is cleared up, never guessed."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc.aio
import pytest
from store_kinds import Place

from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.seams.store import Conflict, Empty, Put, Remove, Store, Transaction, Unchanged
from weftwork.store.etcd import EtcdStore
from weftwork.store.postgres import PostgresStore
from weftwork.testing.cut_wire import CutWire

ONCE = Transaction((Unchanged("k", 0),), (Put("k", b"1"),))

Attempt = Callable[..., Awaitable[Any]]


async def history(store: Store, until: int) -> list[int]:
    told = []
    async for change in store.watch("k", after=0):
        told.append(change.revision)
        if change.revision >= until:
            return told
    raise AssertionError("the watch ended early")


def broken() -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "the connection broke")


class Wire:
    """What an etcd store sends: `lose` says, for each transaction that is no mark alone, how it gets lost."""

    def __init__(self, store: EtcdStore, *lose: str) -> None:
        self._attempt: Attempt = store.etcd.attempt
        self._lose = list(lose)
        self.kept_back: list[pb.TxnRequest] = []
        self.sent = 0
        store.etcd.attempt = self.attempt  # type: ignore[method-assign]

    async def attempt(self, request: Any, method_of: Any, timeout_s: float = 2.0) -> Any:
        how = self._lose.pop(0) if self._lose and isinstance(request, pb.TxnRequest) else ""
        if how == "request":
            self.kept_back.append(request)
            raise broken()
        answer = await self._attempt(request, method_of, timeout_s)
        self.sent += isinstance(request, pb.TxnRequest)
        if how == "answer":
            raise broken()
        return answer

    async def deliver(self) -> list[bool]:
        """What was kept back arrives after all; whether it was carried out."""
        answers = [await self._attempt(request, lambda member: member.kv.Txn) for request in self.kept_back]
        return [bool(answer.succeeded) for answer in answers]

    async def deliver_parts(self) -> list[bool]:
        """Likewise, for each commit of those that went together."""
        answers = [await self._attempt(request, lambda member: member.kv.Txn) for request in self.kept_back]
        parts = [part.response_txn for answer in answers for part in answer.responses]
        return [bool(part.succeeded) for part in parts]


@pytest.mark.parametrize(
    "lose",
    [("answer",), ("request",), ("answer", "answer"), ("request", "answer"), ("request", "request", "answer")],
    ids="-".join,
)
def test_etcd_commits_once_whatever_gets_lost(etcd_server: Place, lose: tuple[str, ...]) -> None:
    async def story(store: Store) -> None:
        assert isinstance(store, EtcdStore)
        wire = Wire(store, *lose)
        revision = await store.commit(ONCE)
        record = await store.get("k")
        assert record is not None
        assert (record.value, record.revision) == (b"1", revision)
        assert not any(await wire.deliver())
        assert await history(store, revision) == [revision]
        assert store.doubts == 1

    etcd_server.fresh().tell(story)


@pytest.mark.parametrize("lose", [("request",), ("request", "answer"), ("answer", "answer", "request")], ids="-".join)
def test_a_conflict_after_a_doubt_is_final_whatever_arrives_late(etcd_server: Place, lose: tuple[str, ...]) -> None:
    """What the late copy compares holds again; all the same it must not be carried out, for its caller knows better."""

    async def story(store: Store) -> None:
        assert isinstance(store, EtcdStore)
        await store.commit(Transaction((), (Put("x/1", b"in the way"),)))
        wire = Wire(store, *lose)
        with pytest.raises(Conflict) as conflict:
            await store.commit(Transaction((Empty("x/"),), (Put("k", b"late"),)))
        assert conflict.value.failed == (Empty("x/"),)
        one = await store.get("x/1")
        assert one is not None
        assert conflict.value.revision == one.revision
        gone = await store.commit(Transaction((Unchanged("x/1", one.revision),), (Put("x/2", b""),)))
        assert gone > one.revision
        await store.commit(Transaction((), (Put("y", b""),)))
        await store.commit(Transaction((), (Remove("x/1"), Remove("x/2"))))
        assert not any(await wire.deliver())
        assert await store.get("k") is None

    etcd_server.fresh().tell(story)


MANY = 20


@pytest.mark.parametrize("lose", [(), ("answer",), ("request",), ("answer", "answer", "request")], ids="-".join)
def test_commits_that_go_together_are_told_apart_and_each_happens_once(
    etcd_server: Place, lose: tuple[str, ...]
) -> None:
    async def story(store: Store) -> None:
        assert isinstance(store, EtcdStore)
        taken = await store.commit(Transaction((), (Put("k/7", b"\xfeold"),)))
        wire = Wire(store, *lose)
        wanted = [Transaction((Unchanged(f"k/{n}", 0),), (Put(f"k/{n}", b"\xfe%d" % n),)) for n in range(MANY)]
        revisions = await asyncio.gather(*map(store.commit, wanted), return_exceptions=True)
        refused = revisions.pop(7)
        assert isinstance(refused, Conflict)
        assert (refused.failed, refused.revision) == ((Unchanged("k/7", 0),), taken)
        records = {record.key: record for record in (await store.range("k/")).records}
        assert (records["k/7"].value, records["k/7"].revision) == (b"\xfeold", taken)
        others = [n for n in range(MANY) if n != 7]
        assert [records[f"k/{n}"].revision for n in others] == revisions
        assert [records[f"k/{n}"].value for n in others] == [b"\xfe%d" % n for n in others]
        assert len(set(revisions)) == len(others)
        assert wire.sent < MANY or lose
        assert await history(store, max(one.revision for one in records.values())) == sorted(
            one.revision for one in records.values()
        )
        assert not any(await wire.deliver_parts())
        assert store.doubts == (MANY if lose else 0)

    etcd_server.fresh().tell(story)


def test_of_two_that_want_one_key_at_once_one_gets_it_and_the_other_is_told_when(etcd_server: Place) -> None:
    async def story(store: Store) -> None:
        both = [Transaction((Unchanged("k", 0),), (Put("k", b"%d" % n), Put(f"{n}", b""))) for n in range(2)]
        first, second = await asyncio.gather(*map(store.commit, both), return_exceptions=True)
        assert isinstance(first, int)
        assert isinstance(second, Conflict)
        assert second.revision == first
        record = await store.get("k")
        assert record is not None
        assert record.revision == first

    etcd_server.fresh().tell(story)


def test_of_two_that_each_want_the_other_not_to_have_happened_one_happens(etcd_server: Place) -> None:
    """etcd judges the compares of a whole transaction before it writes anything of it."""

    async def story(store: Store) -> None:
        assert isinstance(store, EtcdStore)
        both = [
            Transaction((Unchanged("a", 0),), (Put("b", b""),)),
            Transaction((Unchanged("b", 0),), (Put("a", b""),)),
        ]
        outcomes = await asyncio.gather(*map(store.commit, both), return_exceptions=True)
        assert sorted(type(one).__name__ for one in outcomes) == ["Conflict", "int"]
        assert len((await store.range("")).records) == 1
        assert store.doubts == 0

    etcd_server.fresh().tell(story)


def test_a_removal_goes_alone_and_what_it_compares_is_the_commit_before(etcd_server: Place) -> None:
    async def story(store: Store) -> None:
        made = await asyncio.gather(*(store.commit(Transaction((), (Put(f"k/{n}", b""),))) for n in range(MANY)))
        gone = await asyncio.gather(
            *(
                store.commit(Transaction((Unchanged(f"k/{n}", made[n]), Empty("l/")), (Remove(f"k/{n}"),)))
                for n in range(MANY)
            )
        )
        assert len({*made, *gone}) == 2 * MANY
        assert min(gone) > max(made)
        assert (await store.range("k/")).records == ()
        with pytest.raises(Conflict):
            await store.commit(Transaction((Unchanged("k/1", made[1]),), (Put("k/1", b""),)))

    etcd_server.fresh().tell(story)


@pytest.mark.parametrize("pass_on", [True, False], ids=["answer lost", "request lost"])
def test_postgres_commits_once_whatever_gets_lost(postgres_server: Place, pass_on: bool) -> None:
    port = re.search(r":(\d+)/", postgres_server.server)
    assert port is not None
    direct = int(port[1])

    async def story() -> None:
        async with CutWire(direct) as wire:
            through = replace(
                postgres_server.fresh(), server=postgres_server.server.replace(f":{direct}/", f":{wire.port}/")
            )
            store = await through.open()
            assert isinstance(store, PostgresStore)
            await store.commit(Transaction((), (Put("before", b""),)))
            wire.cut_at(b"COMMIT", pass_on=pass_on)
            revision = await store.commit(ONCE)
            assert wire.cuts == 1
            assert store.doubts == 1
            record = await store.get("k")
            assert record is not None
            assert (record.value, record.revision) == (b"1", revision)
            assert await history(store, revision) == [revision]
            assert revision == 2
            await store.close()

    asyncio.run(asyncio.wait_for(story(), 60))
