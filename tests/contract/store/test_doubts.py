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
        store.etcd.attempt = self.attempt  # type: ignore[method-assign]

    async def attempt(self, request: Any, method_of: Any, timeout_s: float = 2.0) -> Any:
        how = self._lose.pop(0) if self._lose and isinstance(request, pb.TxnRequest) else ""
        if how == "request":
            self.kept_back.append(request)
            raise broken()
        answer = await self._attempt(request, method_of, timeout_s)
        if how == "answer":
            raise broken()
        return answer

    async def deliver(self) -> list[bool]:
        """What was kept back arrives after all; whether it was carried out."""
        answers = [await self._attempt(request, lambda member: member.kv.Txn) for request in self.kept_back]
        return [bool(answer.succeeded) for answer in answers]


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
