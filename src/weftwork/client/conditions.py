"""Calls about how far the hosts are: conditions, targets, leaks, and why packets pass or not."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

import grpc.aio
from google.protobuf.empty_pb2 import Empty

from weftwork.client import messages
from weftwork.client.calls import WAIT_GRACE_S, Calls
from weftwork.client.errors import api_error
from weftwork.client.messages import ConditionEvent, ResourceRef
from weftwork.client.names import Project, in_project, protocol_of
from weftwork.rpc.generated.weftwork.v1 import explain_pb2, explain_pb2_grpc, weftwork_pb2_grpc
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weftwork


class ConditionCalls(Calls):
    @cached_property
    def _conditions(self) -> "weftwork_pb2_grpc.ConditionServiceAsyncStub":
        return weftwork_pb2_grpc.ConditionServiceStub(self._channel)

    @cached_property
    def _targets(self) -> "weftwork_pb2_grpc.TargetServiceAsyncStub":
        return weftwork_pb2_grpc.TargetServiceStub(self._channel)

    @cached_property
    def _explain(self) -> "explain_pb2_grpc.ExplainServiceAsyncStub":
        return explain_pb2_grpc.ExplainServiceStub(self._channel)

    async def watch_conditions(
        self, project: Project, *, kind: str = "", id: str = ""
    ) -> AsyncIterator[ConditionEvent]:
        """First the conditions as they are, then every change, until the caller stops."""
        request = weftwork.WatchConditionsRequest(**in_project(project), kind=kind, id=id)
        call = self._conditions.WatchConditions(request, metadata=self._metadata())
        try:
            async for event in call:
                yield event
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None
        finally:
            call.cancel()

    async def wait_for(
        self, resource: ResourceRef, *, type: str = "", revision: int = 0, timeout_s: float = 60.0
    ) -> ConditionEvent:
        """Until the condition (`Programmed`) is true at `revision` or later; `met` is False when the time was over."""
        request = weftwork.WaitForConditionRequest(resource=resource, type=type, revision=revision, timeout_s=timeout_s)
        return await self._call(self._conditions.WaitForCondition, request, timeout_s=timeout_s + WAIT_GRACE_S)

    async def wait_programmed(
        self, resource: ResourceRef, revision: int = 0, timeout_s: float = 60.0
    ) -> ConditionEvent:
        """Until the hosts have made it so."""
        return await self.wait_for(resource, type="Programmed", revision=revision, timeout_s=timeout_s)

    async def list_targets(self) -> Sequence[messages.Target]:
        return (await self._call(self._targets.ListTargets, Empty())).targets

    async def get_target(self, host: str = "", driver: str = "", scope: str = "") -> messages.TargetState:
        """Desired, observed now, and the plan between."""
        request = weftwork.GetTargetRequest(host=host, driver=driver, scope=scope)
        return await self._call(self._targets.GetTarget, request)

    async def list_leaks(self) -> Sequence[messages.Leak]:
        """Whatever of ours has no owner, across store and hosts."""
        return (await self._call(self._targets.ListLeaks, Empty())).leaks

    async def explain(
        self,
        project: Project,
        source: str,
        destination: str,
        *,
        protocol: str,
        port: int = 0,
        both: bool = False,
        live: bool = False,
    ) -> messages.ExplainResponse:
        """Why `source` reaches `destination` or not: each a port's name or id, an address, or `internet`.

        `protocol` is tcp or udp with a `port`, or icmp. `live` also sends a packet.
        """
        request = explain_pb2.ExplainRequest(
            **in_project(project),
            source=source,
            destination=destination,
            protocol=protocol_of(protocol),
            destination_port=port,
            both=both,
            live=live,
        )
        return await self._call(self._explain.Explain, request)
