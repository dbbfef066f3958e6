"""Calls about subnets, and about sharing them with other projects."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project, project_key
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network
from weftwork.rpc.generated.weftwork.v1 import sharing_pb2 as sharing
from weftwork.rpc.generated.weftwork.v1 import sharing_pb2_grpc, subnet_pb2, subnet_pb2_grpc


class SubnetCalls(Calls):
    @cached_property
    def _subnets(self) -> "subnet_pb2_grpc.SubnetServiceAsyncStub":
        return subnet_pb2_grpc.SubnetServiceStub(self._channel)

    @cached_property
    def _sharing(self) -> "sharing_pb2_grpc.SharingServiceAsyncStub":
        return sharing_pb2_grpc.SharingServiceStub(self._channel)

    def create_subnet(
        self,
        project: Project,
        name: str,
        *,
        cidr: str = "",
        dhcp_enabled: bool = True,
        dns_servers: Sequence[str] = (),
        domain_name: str = "",
        ntp_servers: Sequence[str] = (),
        lease_time_s: int = 0,
    ) -> Mutation[messages.Subnet]:
        request = network.CreateSubnetRequest(
            **in_project(project),
            name=name,
            cidr=cidr,
            dhcp_enabled=dhcp_enabled,
            dns_servers=dns_servers,
            domain_name=domain_name,
            ntp_servers=ntp_servers,
            lease_time_s=lease_time_s,
        )
        return self._mutation(self._network.CreateSubnet, "create_subnet", request, retry=True)

    def update_subnet(
        self,
        project: Project,
        subnet: str,
        *,
        dhcp_enabled: bool | None = None,
        dns_servers: Sequence[str] | None = None,
        domain_name: str | None = None,
        ntp_servers: Sequence[str] | None = None,
        lease_time_s: int | None = None,
    ) -> Mutation[messages.Subnet]:
        """Replaces what is given."""
        given = {
            "dhcp_enabled": dhcp_enabled,
            "dns_servers": dns_servers,
            "domain_name": domain_name,
            "ntp_servers": ntp_servers,
            "lease_time_s": lease_time_s,
        }
        said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        request = subnet_pb2.UpdateSubnetRequest(
            **in_project(project), subnet_id=subnet, **said, update_mask=FieldMask(paths=list(said))
        )
        return self._mutation(self._subnets.UpdateSubnet, "update_subnet", request, retry=True)

    async def get_subnet(self, project: Project, subnet: str) -> messages.Subnet:
        return await self._call(
            self._network.GetSubnet, network.GetSubnetRequest(**in_project(project), subnet_id=subnet)
        )

    def list_subnets(self, project: Project) -> AsyncIterator[messages.Subnet]:
        request = network.ListSubnetsRequest(**in_project(project))
        return self._pages(self._network.ListSubnets, request, lambda page: page.subnets)

    def delete_subnet(self, project: Project, subnet: str, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeleteSubnetRequest(**in_project(project), subnet_id=subnet, cascade=cascade)
        return self._deletion(self._network.DeleteSubnet, "delete_subnet", request)

    def share_subnet(self, project: Project, subnet: str, to: Project) -> Mutation[messages.SubnetShare]:
        """`to` may create ports there, by the subnet's full id."""
        request = sharing.ShareSubnetRequest(**in_project(project), subnet_id=subnet, to=str(project_key(to)))
        return self._mutation(self._sharing.ShareSubnet, "share_subnet", request, retry=True)

    def unshare_subnet(self, project: Project, subnet: str, to: Project) -> Mutation[None]:
        request = sharing.UnshareSubnetRequest(**in_project(project), subnet_id=subnet, to=str(project_key(to)))
        return self._deletion(self._sharing.UnshareSubnet, "unshare_subnet", request)

    def list_subnet_shares(self, project: Project) -> AsyncIterator[messages.SubnetShare]:
        """Of the project's own subnets."""
        request = sharing.ListSharesRequest(**in_project(project))
        return self._pages(self._sharing.ListSubnetShares, request, lambda page: page.shares)

    def list_shared_subnets(self, project: Project) -> AsyncIterator[messages.Subnet]:
        """Other projects' subnets that this one may have ports in."""
        request = sharing.ListSharesRequest(**in_project(project))
        return self._pages(self._sharing.ListSharedSubnets, request, lambda page: page.subnets)
