"""Following a project over lost connections: from the beginning or from a revision, nothing missed, nothing twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cached_property

import grpc.aio

from weftwork.client.calls import Calls, backoff_s
from weftwork.client.errors import Unavailable, api_error
from weftwork.client.messages import WatchEvent
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.weftwork.v1 import watch_pb2, watch_pb2_grpc

PATIENCE = 6
"""After so many attempts the pause between them grows no further."""


class WatchCalls(Calls):
    @cached_property
    def _watches(self) -> "watch_pb2_grpc.WatchServiceAsyncStub":
        return watch_pb2_grpc.WatchServiceStub(self._channel)

    async def watch(
        self, project: Project, *, kinds: Sequence[str] = (), after: int = 0, resume: bool = True
    ) -> AsyncIterator[WatchEvent]:
        """Without `after` first what is there (`as_it_is`), then every change; with it, what came after that revision.

        A server that goes away is asked again from the last revision that came, until the caller stops; without
        `resume`, Unavailable is raised. A large change comes in several events: all of them once the last is here.

        HistoryCompacted when `after` is not kept any more: watch from the beginning.
        """
        failed = 0
        while True:
            try:
                async for part in self._parts(project, kinds, after):
                    failed = 0
                    for event in part:
                        yield event
                    after = part[-1].revision
                return
            except Unavailable as error:
                if not resume:
                    raise
                await asyncio.sleep(max(error.retry_after_s, backoff_s(min(failed, PATIENCE))))
                failed += 1

    async def _parts(self, project: Project, kinds: Sequence[str], after: int) -> AsyncIterator[list[WatchEvent]]:
        """The events up to each revision: only there one can go on."""
        request = watch_pb2.WatchRequest(**in_project(project), kinds=kinds, after=after)
        call = self._watches.Watch(request, metadata=self._metadata())
        part: list[WatchEvent] = []
        try:
            async for event in call:
                part.append(event)
                if event.revision:
                    yield part
                    part = []
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None
        finally:
            call.cancel()
