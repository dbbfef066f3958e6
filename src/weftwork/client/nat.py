"""Calls about SNAT and DNAT."""

from collections.abc import AsyncIterator
from functools import cached_property

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project, protocol_of
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weftwork
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2_grpc


class NatCalls(Calls):
    @cached_property
    def _nat(self) -> "weftwork_pb2_grpc.NatServiceAsyncStub":
        return weftwork_pb2_grpc.NatServiceStub(self._channel)

    def create_snat(
        self, project: Project, *, external_ip: str = "", enabled: bool = True
    ) -> Mutation[messages.SnatConfig]:
        request = network.CreateSnatRequest(**in_project(project), external_ip=external_ip, enabled=enabled)
        return self._mutation(self._network.CreateSnat, "create_snat", request, retry=True)

    def list_snats(self, project: Project) -> AsyncIterator[messages.SnatConfig]:
        request = weftwork.ListNatsRequest(**in_project(project))
        return self._pages(self._nat.ListSnats, request, lambda page: page.snats)

    def delete_snat(self, project: Project, *, external_ip: str = "") -> Mutation[None]:
        request = network.DeleteSnatRequest(**in_project(project), external_ip=external_ip)
        return self._deletion(self._network.DeleteSnat, "delete_snat", request)

    def create_dnat(
        self,
        project: Project,
        *,
        external_port: int,
        protocol: str,
        internal_ip: str,
        internal_port: int = 0,
        external_ip: str = "",
    ) -> Mutation[messages.DnatConfig]:
        """`protocol` is tcp or udp; `internal_port` 0 is the same as outside."""
        request = network.CreateDnatRequest(
            **in_project(project),
            external_ip=external_ip,
            external_port=external_port,
            internal_ip=internal_ip,
            internal_port=internal_port,
            protocol=protocol_of(protocol),
        )
        return self._mutation(self._network.CreateDnat, "create_dnat", request, retry=bool(external_ip))

    def list_dnats(self, project: Project) -> AsyncIterator[messages.DnatConfig]:
        request = weftwork.ListNatsRequest(**in_project(project))
        return self._pages(self._nat.ListDnats, request, lambda page: page.dnats)

    def delete_dnat(self, project: Project, *, external_ip: str, external_port: int, protocol: str) -> Mutation[None]:
        request = network.DeleteDnatRequest(
            **in_project(project), external_ip=external_ip, external_port=external_port, protocol=protocol_of(protocol)
        )
        return self._deletion(self._network.DeleteDnat, "delete_dnat", request)
