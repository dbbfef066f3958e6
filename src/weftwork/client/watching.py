"""The client's calls about packets: flow logs, captures and the debug bundle. `client.packets.list_flows(...)`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import grpc.aio

from weftwork.base.tenancy import ProjectKey
from weftwork.client.calls import Mutation, streamed
from weftwork.rpc.generated.weftwork.v1 import (
    capture_pb2,
    capture_pb2_grpc,
    debug_pb2,
    debug_pb2_grpc,
    flow_pb2,
    flow_pb2_grpc,
)


class _Calling(Protocol):
    def __call__(self, rpc: Callable[..., Awaitable[Any]], request: Any, *, retry: bool = True) -> Awaitable[Any]: ...


class _Changing(Protocol):
    def __call__(
        self, rpc: Callable[..., Awaitable[Any]], plan_field: str, request: Any, *, retry: bool = False
    ) -> Mutation[Any]: ...


Metadata = tuple[tuple[str, str], ...]


class PacketCalls:
    def __init__(
        self, channel: grpc.aio.Channel, call: _Calling, metadata: Callable[[], Metadata], mutation: _Changing
    ) -> None:
        self._call = call
        self._mutation = mutation
        self._metadata = metadata
        self._flows = flow_pb2_grpc.FlowServiceStub(channel)
        self._debug = debug_pb2_grpc.DebugServiceStub(channel)
        self._captures = capture_pb2_grpc.CaptureServiceStub(channel)

    async def get_flow_log(self, project: ProjectKey | str) -> flow_pb2.FlowLog:
        request = flow_pb2.GetFlowLogRequest(**_in(project))
        return await self._call(self._flows.GetFlowLog, request)  # type: ignore[no-any-return]

    def set_flow_log(
        self, project: ProjectKey | str, *, enabled: bool, sample: int = 1, allowed: bool = False
    ) -> Mutation[flow_pb2.FlowLog]:
        """One of `sample` packets that are dropped; with `allowed`, also the first ones of what passes."""
        request = flow_pb2.SetFlowLogRequest(**_in(project), enabled=enabled, sample=sample, allowed=allowed)
        return self._mutation(self._flows.SetFlowLog, "set_flow_log", request, retry=True)

    async def list_flows(
        self, project: ProjectKey | str, *, port: str = "", verdict: str = "", since_ms: int = 0, limit: int = 0
    ) -> Sequence[flow_pb2.Flow]:
        """The newest that are remembered, oldest first."""
        request = flow_pb2.ListFlowsRequest(**_in(project), port_id=port, verdict=verdict, since=since_ms, limit=limit)
        return (await self._call(self._flows.ListFlows, request)).flows  # type: ignore[no-any-return]

    async def watch_flows(
        self, project: ProjectKey | str, *, port: str = "", verdict: str = "", since_ms: int = 0
    ) -> AsyncIterator[flow_pb2.FlowEvent]:
        request = flow_pb2.WatchFlowsRequest(**_in(project), port_id=port, verdict=verdict, since=since_ms)
        async for event in streamed(self._flows.WatchFlows(request, metadata=self._metadata())):
            yield event

    async def capture(
        self,
        project: ProjectKey | str,
        port: str,
        *,
        expression: str = "",
        seconds: int = 0,
        packets: int = 0,
        data_bytes: int = 0,
        snap_length: int = 0,
    ) -> AsyncIterator[capture_pb2.CaptureEvent]:
        """Packets as they pass the port; what is 0 is left to the server. The first event is empty: it listens."""
        request = capture_pb2.CapturePacketsRequest(
            **_in(project),
            port_id=port,
            expression=expression,
            seconds=seconds,
            packets=packets,
            bytes=data_bytes,
            snap_length=snap_length,
        )
        async for event in streamed(self._captures.CapturePackets(request, metadata=self._metadata())):
            yield event

    async def collect_bundle(self) -> AsyncIterator[debug_pb2.BundlePart]:
        """Pieces of files; of each, one after the other."""
        request = debug_pb2.CollectBundleRequest()
        async for part in streamed(self._debug.CollectBundle(request, metadata=self._metadata())):
            yield part


def _in(project: ProjectKey | str) -> dict[str, str]:
    key = project if isinstance(project, ProjectKey) else ProjectKey(*project.split("/"))
    return {"org_id": key.org, "project_id": key.project}
