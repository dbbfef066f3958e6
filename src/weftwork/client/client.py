"""The client: one method per call, plain values in, the API's messages out. The methods are in a file for each noun.

A mutation can be awaited, which carries it out, or planned, which shows what it would change.
"""

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from weftwork.client.access import AccessCalls
from weftwork.client.calls import ATTEMPTS_MAX, DEFAULT_TIMEOUT_S, PAGE_SIZE, Mutation
from weftwork.client.conditions import ConditionCalls
from weftwork.client.confirmations import ConfirmationCalls
from weftwork.client.errors import ApiError, Unavailable
from weftwork.client.history import HistoryCalls
from weftwork.client.hosts import HostCalls
from weftwork.client.names import Project, reach_test_spec, resource_ref
from weftwork.client.nat import NatCalls
from weftwork.client.network_policies import NetworkPolicyCalls
from weftwork.client.peerings import PeeringCalls
from weftwork.client.ports import PortCalls
from weftwork.client.project_files import ProjectFileCalls
from weftwork.client.reach_tests import ReachTestCalls
from weftwork.client.security_groups import SecurityGroupCalls
from weftwork.client.subnets import SubnetCalls
from weftwork.client.vms import VmCalls, VmSize, vm_nic, vm_placement, vm_service
from weftwork.client.vpcs import VpcCalls
from weftwork.client.watch import WatchCalls
from weftwork.client.watching import PacketCalls

__all__ = [
    "Client",
    "Mutation",
    "Project",
    "Tls",
    "VmSize",
    "reach_test_spec",
    "resource_ref",
    "vm_nic",
    "vm_placement",
    "vm_service",
]

CONNECT_TIMEOUT_S = 5.0
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.enable_retries", 0),  # we retry, knowing what may be repeated
)


@dataclass(frozen=True, slots=True)
class Tls:
    """In PEM: whose servers to believe (None: the system's authorities), and our own certificate for mTLS."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


class Client(
    VpcCalls,
    SubnetCalls,
    PortCalls,
    SecurityGroupCalls,
    NatCalls,
    PeeringCalls,
    NetworkPolicyCalls,
    ReachTestCalls,
    VmCalls,
    ProjectFileCalls,
    HistoryCalls,
    ConfirmationCalls,
    ConditionCalls,
    WatchCalls,
):
    """A connection to one server. Every method raises ApiError.

    Arguments named `subnet`, `port` and `group` take a name or an id. What is empty or None is left to the server.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        page_size: int = PAGE_SIZE,
        bearer: str = "",
        attempts: int = ATTEMPTS_MAX,
    ) -> None:
        super().__init__(channel, timeout_s=timeout_s, page_size=page_size, bearer=bearer, attempts=attempts)
        self.access = AccessCalls(channel, self._call)
        self.hosts = HostCalls(channel, self._call)
        self.packets = PacketCalls(channel, self._call, self._metadata, self._mutation)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    @classmethod
    async def connect(
        cls,
        target: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        page_size: int = PAGE_SIZE,
        bearer: str = "",
        tls: Tls | None = None,
        attempts: int = ATTEMPTS_MAX,
    ) -> Self:
        """`bearer` is an API token or a login; over TCP without TLS it goes to loopback only (ValueError).

        `target` is `unix:/path` or `host:port`. `timeout_s` bounds each call with all its `attempts`; lists are read in
        pages.

        Fails at once if nobody listens.
        """
        if bearer and tls is None and not _is_local(target):
            raise ValueError(f"a bearer token is not sent to {target} without TLS")
        channel = _channel(target, tls)
        try:
            async with asyncio.timeout(connect_timeout_s):
                await _ready(channel, target)
        except TimeoutError:
            await channel.close()
            raise _unreachable(target) from None
        except BaseException:
            await channel.close()
            raise
        return cls(channel, timeout_s=timeout_s, page_size=page_size, bearer=bearer, attempts=attempts)

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def is_serving(self) -> bool:
        """Whether the server has loaded what it needs and takes calls."""
        reply = await self._call(self._health.Check, health_pb2.HealthCheckRequest(), retry=False)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(target: str, tls: Tls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return grpc.aio.secure_channel(target.removeprefix("https://"), credentials, options=CHANNEL_OPTIONS)


def _is_local(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    try:
        return target.startswith("unix:") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _ready(channel: grpc.aio.Channel, target: str) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise _unreachable(target)
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)


def _unreachable(target: str) -> ApiError:
    return Unavailable(
        grpc.StatusCode.UNAVAILABLE,
        "SERVER_UNREACHABLE",
        f"no server answers at {target}",
        hint="Is it running (`weft up`, `weft server`), and is the address right?",
    )
