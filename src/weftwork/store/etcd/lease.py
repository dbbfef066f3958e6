"""Leading over etcd: who made the key `leader`, on a lease. The revision that made it is the term's number."""

import asyncio
import math
import secrets
import time

import grpc.aio

from weftwork.base.errors import Failure
from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.store.etcd.client import Etcd, last_written, put, range_of
from weftwork.store.etcd.commits import grant
from weftwork.store.etcd.errors import failure_of
from weftwork.store.etcd.store import EtcdStore
from weftwork.store.term import LeasedTerm

_RETRY_S = 1.0


class EtcdLeadership:
    """Over the connection of a store that is open."""

    def __init__(self, store: EtcdStore, lease_s: float) -> None:
        self._etcd: Etcd = store.etcd
        self._key = store.names.leader
        self._lease_s = max(1, math.ceil(lease_s))

    async def elected(self) -> LeasedTerm:
        while True:
            try:
                term = await self._attempt()
            except Failure:
                term = None
            if term is not None:
                return term
            await asyncio.sleep(min(_RETRY_S, self._lease_s / 10))

    async def _attempt(self) -> LeasedTerm | None:
        held_by = await self._etcd.range(pb.RangeRequest(key=self._key))
        if held_by.kvs:
            return None
        asked_at = time.monotonic()
        lease = secrets.randbits(62) | 1
        await grant(self._etcd, lease, self._lease_s)
        name = b"%d" % lease
        request = pb.TxnRequest(
            compare=[last_written(self._key, 0)],
            success=[put(self._key, name, lease)],
            failure=[range_of(pb.RangeRequest(key=self._key))],
        )
        answer = await self._etcd.txn(request)
        if answer.succeeded:
            return self._term(lease, answer.header.revision, asked_at)
        found = answer.responses[0].response_range.kvs
        if found and found[0].value == name:  # Sent twice, and carried out the first time.
            return self._term(lease, found[0].create_revision, asked_at)
        await self._revoke(lease)
        return None

    def _term(self, lease: int, number: int, asked_at: float) -> LeasedTerm:
        async def renew() -> bool:
            try:
                return await self._etcd.keep_alive(lease) > 0
            except grpc.aio.AioRpcError as error:
                raise failure_of(error, str(self._etcd.place)) from None

        return LeasedTerm(number, self._lease_s, asked_at, renew, lambda: self._revoke(lease))

    async def _revoke(self, lease: int) -> None:
        """Its keys go with it."""
        request = pb.LeaseRevokeRequest(ID=lease)
        await self._etcd.call("lease", request, lambda member: member.lease.LeaseRevoke, patience_s=2.0)
