"""The client's calls about hosts of the fleet: `client.hosts.add("h1", underlay_ip="10.0.0.1")`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import grpc.aio

from weftwork.rpc.generated.weftwork.v1 import host_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import host_pb2_grpc


class _Calling(Protocol):
    def __call__(self, rpc: Callable[..., Awaitable[Any]], request: Any, *, retry: bool = True) -> Awaitable[Any]: ...


class HostCalls:
    def __init__(self, channel: grpc.aio.Channel, call: _Calling) -> None:
        self._call = call
        self._hosts = host_pb2_grpc.HostServiceStub(channel)

    async def add(
        self,
        name: str,
        *,
        underlay_ip: str = "",
        roles: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        token_lifetime_s: int = 0,
        again: bool = False,
    ) -> pb.AddHostResponse:
        """`join` of the answer is what the agent's `--token-file` holds; it is not told again."""
        request = pb.AddHostRequest(
            name=name,
            underlay_ip=underlay_ip,
            roles=roles,
            labels=[pb.HostLabel(key=key, value=value) for key, value in (labels or {}).items()],
            token_lifetime_s=token_lifetime_s,
            again=again,
        )
        return await self._call(self._hosts.AddHost, request, retry=False)  # type: ignore[no-any-return]

    async def get(self, name: str) -> pb.Host:
        return await self._call(self._hosts.GetHost, pb.GetHostRequest(host=name))  # type: ignore[no-any-return]

    async def list(self) -> Sequence[pb.Host]:
        return (await self._call(self._hosts.ListHosts, pb.ListHostsRequest())).hosts  # type: ignore[no-any-return]

    async def drain(self, name: str, *, undo: bool = False) -> pb.Host:
        request = pb.DrainHostRequest(host=name, undo=undo)
        return await self._call(self._hosts.DrainHost, request)  # type: ignore[no-any-return]

    async def remove(self, name: str) -> None:
        await self._call(self._hosts.RemoveHost, pb.RemoveHostRequest(host=name), retry=False)
