"""Follows everything of ours in etcd: one stream for all watches of this process, taken up again wherever it broke."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import groupby

import grpc.aio

from weftwork.base.errors import Failure
from weftwork.rpc.generated.etcdserverpb import etcd_pb2 as pb
from weftwork.seams.store import Compacted
from weftwork.store.etcd.client import ATTEMPT_S, PATIENCE_S, Etcd
from weftwork.store.etcd.keys import Names, end_of
from weftwork.store.etcd.moments import LAST, place_in, revision_of, value_in, whole_until
from weftwork.store.followed import Followed
from weftwork.store.recent import Entry, Pair

log = logging.getLogger(__name__)

_PAUSE_S = 0.1
_HISTORY_ENTRIES = 1000
_OVERHEAD_BYTES = 100
"""What an entry and its parts weigh beside keys and values."""


class Follower:
    def __init__(self, etcd: Etcd, names: Names, followed: Followed, begin: Callable[[], Awaitable[int]]) -> None:
        """`begin` writes a mark, the place to begin from when the old one is gone."""
        self._etcd = etcd
        self._names = names
        self._followed = followed
        self._begin = begin

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except Compacted:
                log.warning("%s: was compacted beyond what this server has seen", self._etcd.place)
                await self._lost()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, Failure) as error:
                log.info("%s: the watch broke, and is taken up again: %s", self._etcd.place, error)
            await asyncio.sleep(_PAUSE_S)

    async def history(self, after: int) -> list[Entry]:
        """What follows `after`, until what the follower remembers. Raises Compacted, and Failure."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                async with asyncio.timeout(2 * ATTEMPT_S):
                    return await self._history(after)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise Failure("STORE_UNAVAILABLE", f"history at {self._etcd.place}: {error}") from None
            await asyncio.sleep(_PAUSE_S)

    async def _history(self, after: int) -> list[Entry]:
        read: list[Entry] = []
        async with self._etcd.watching(self._request(after)) as responses:
            async for response in responses:
                _check(response)
                read += self._entries(response, after)
                if read and (read[-1].revision >= self._followed.floor or len(read) >= _HISTORY_ENTRIES):
                    return read
        raise asyncio.InvalidStateError("the watch ended")

    async def _follow(self) -> None:
        followed = self._followed
        async with self._etcd.watching(self._request(followed.revision)) as responses:
            async for response in responses:
                _check(response)
                entries = self._entries(response, followed.revision)
                if entries:
                    followed.extend([entry for entry in entries if entry.pairs], entries[-1].revision)

    async def _lost(self) -> None:
        try:
            self._followed.begin(await self._begin())
        except Failure as failure:
            log.warning("%s", failure)

    def _request(self, after: int) -> pb.WatchCreateRequest:
        """From `after` itself, not from what follows it: so etcd tells when it has forgotten anything behind `after`.

        (It lets one begin at the revision compacted, where removals are forgotten already.)
        """
        root = self._names.root
        return pb.WatchCreateRequest(key=root, range_end=end_of(root), start_revision=max(whole_until(after), 1))

    def _entries(self, response: pb.WatchResponse, after: int) -> list[Entry]:
        """A moment's events come together, in the order they were written; the last entry is the end of a moment."""
        entries: list[Entry] = []
        for moment, events in groupby(response.events, key=_moment):
            things = [event for event in events if event.kv.key.startswith(self._names.things)]
            entries += [self._entry(revision_of(moment, place), list(some)) for place, some in groupby(things, _place)]
            if not entries or entries[-1].revision != revision_of(moment):
                entries.append(Entry(revision_of(moment), [], 0))
        return [entry for entry in entries if entry.revision > after]

    def _entry(self, revision: int, events: list[pb.Event]) -> Entry:
        pairs: list[Pair] = [
            (self._names.key(event.kv.key), value_in(event.kv.value) if event.type == pb.Event.PUT else None)
            for event in events
        ]
        size_bytes = sum(len(key) + len(value or b"") + _OVERHEAD_BYTES for key, value in pairs)
        return Entry(revision, pairs, size_bytes)


def _moment(event: pb.Event) -> int:
    return event.kv.mod_revision


def _place(event: pb.Event) -> int:
    return place_in(event.kv.value) if event.type == pb.Event.PUT else LAST


def _check(response: pb.WatchResponse) -> None:
    if response.compact_revision:
        raise Compacted(revision_of(response.compact_revision))
    if response.canceled:
        raise Failure("STORE_UNAVAILABLE", f"etcd ended a watch: {response.cancel_reason}")
