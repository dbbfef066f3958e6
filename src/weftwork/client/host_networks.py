"""A host's own interface: `async with HostClient("unix:/…/agent.sock") as host: await host.add_stack(7)`."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from weftwork.client.client import Tls
from weftwork.client.errors import api_error
from weftwork.rpc.generated.vpc.l2 import l2_pb2 as l2
from weftwork.rpc.generated.vpc.l2 import l2_pb2_grpc
from weftwork.rpc.generated.vpc.l3 import l3_pb2 as l3
from weftwork.rpc.generated.vpc.l3 import l3_pb2_grpc

CALL_S = 30.0


class HostClient:
    """Errors are `ApiError`s, as the other client's. Every call may be repeated."""

    def __init__(self, target: str, *, tls: Tls | None = None, timeout_s: float = CALL_S) -> None:
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate))
            if tls
            else grpc.aio.insecure_channel(target)
        )
        self._timeout_s = timeout_s
        self._l2 = l2_pb2_grpc.L2ServiceStub(self._channel)
        self._l3 = l3_pb2_grpc.L3ServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def _call(self, rpc: Any, request: Any) -> Any:
        try:
            return await rpc(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None

    async def add_stack(self, vpc_id: int) -> l2.StackResponse:
        return await self._call(self._l2.AddStack, l2.StackRequest(vpc_id=vpc_id))  # type: ignore[no-any-return]

    async def get_stack(self, vpc_id: int) -> l2.StackResponse:
        return await self._call(self._l2.GetStack, l2.StackRequest(vpc_id=vpc_id))  # type: ignore[no-any-return]

    async def stack_status(self, vpc_id: int) -> l2.StackStatusResponse:
        return await self._call(self._l2.StackStatus, l2.StackRequest(vpc_id=vpc_id))  # type: ignore[no-any-return]

    async def delete_stack(self, vpc_id: int, *, cascade: bool = False) -> None:
        await self._call(self._l2.DeleteStack, l2.StackRequest(vpc_id=vpc_id, cascade=cascade))

    async def list_stacks(self) -> Sequence[l2.StackResponse]:
        return (await self._call(self._l2.ListStacks, l2.Empty())).stacks  # type: ignore[no-any-return]

    async def watch_stacks(self) -> AsyncIterator[l2.StackChange]:
        """Every change from when this is first asked for its next; the first one it gives is empty, and says that."""
        call = self._l2.WatchStacks(l2.Empty())
        try:
            await call.initial_metadata()
            yield l2.StackChange()
            async for change in call:
                yield change
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None
        finally:
            call.cancel()

    async def add_nic(self, vpc_id: int, id: str, vlan: int, **more: Any) -> l2.Nic:
        """`more` are fields of `NicRequest`."""
        request = l2.NicRequest(vpc_id=vpc_id, id=id, subnet_vlan_id=vlan, **more)
        return await self._call(self._l2.AddNIC, request)  # type: ignore[no-any-return]

    async def update_nic(self, vpc_id: int, id: str, **more: Any) -> l2.Nic:
        """`more` are fields of `NicRequest`."""
        return await self._call(self._l2.UpdateNIC, l2.NicRequest(vpc_id=vpc_id, id=id, **more))  # type: ignore[no-any-return]

    async def get_nic(self, vpc_id: int, id: str) -> l2.Nic:
        return await self._call(self._l2.GetNIC, l2.Nic(vpc_id=vpc_id, id=id))  # type: ignore[no-any-return]

    async def nic_status(self, vpc_id: int, id: str) -> l2.NicStatusResponse:
        return await self._call(self._l2.NICStatus, l2.Nic(vpc_id=vpc_id, id=id))  # type: ignore[no-any-return]

    async def delete_nic(self, vpc_id: int, id: str) -> None:
        await self._call(self._l2.DeleteNIC, l2.Nic(vpc_id=vpc_id, id=id))

    async def list_nics(self, vpc_id: int) -> Sequence[l2.Nic]:
        return (await self._call(self._l2.ListNICs, l2.StackRequest(vpc_id=vpc_id))).nics  # type: ignore[no-any-return]

    async def add_router(self, vpc_id: int, **more: Any) -> l3.RouterResponse:
        """`more` are fields of `Router`."""
        return await self._call(self._l3.AddRouter, l3.Router(vpc_id=vpc_id, **more))  # type: ignore[no-any-return]

    async def update_router(self, vpc_id: int, **more: Any) -> l3.RouterResponse:
        """`more` are fields of `Router`; those that are not named become empty."""
        return await self._call(self._l3.UpdateRouter, l3.Router(vpc_id=vpc_id, **more))  # type: ignore[no-any-return]

    async def get_router(self, vpc_id: int) -> l3.RouterResponse:
        return await self._call(self._l3.GetRouter, l3.RouterRequest(vpc_id=vpc_id))  # type: ignore[no-any-return]

    async def router_status(self, vpc_id: int) -> l3.RouterStatusResponse:
        return await self._call(self._l3.RouterStatus, l3.RouterRequest(vpc_id=vpc_id))  # type: ignore[no-any-return]

    async def delete_router(self, vpc_id: int) -> None:
        await self._call(self._l3.DeleteRouter, l3.RouterRequest(vpc_id=vpc_id))

    async def list_routers(self) -> Sequence[l3.RouterResponse]:
        return (await self._call(self._l3.ListRouters, l2.Empty())).routers  # type: ignore[no-any-return]

    async def add_route(self, vpc_id: int, destination: str, gateway: str) -> l3.RouterResponse:
        route = l3.Route(destination=destination, gateway=gateway)
        return await self._call(self._l3.AddRoute, l3.RouteRequest(vpc_id=vpc_id, route=route))  # type: ignore[no-any-return]

    async def delete_route(self, vpc_id: int, destination: str) -> l3.RouterResponse:
        route = l3.Route(destination=destination)
        return await self._call(self._l3.DeleteRoute, l3.RouteRequest(vpc_id=vpc_id, route=route))  # type: ignore[no-any-return]
