"""Calls about VPCs."""

from collections.abc import AsyncIterator

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network


class VpcCalls(Calls):
    def create_vpc(self, project: Project, *, name: str = "", cidr: str = "") -> Mutation[messages.Vpc]:
        request = network.CreateVpcRequest(**in_project(project), name=name, cidr=cidr)
        return self._mutation(self._network.CreateVpc, "create_vpc", request, retry=True)

    async def get_vpc(self, project: Project) -> messages.Vpc:
        return await self._call(self._network.GetVpc, network.GetVpcRequest(**in_project(project)))

    def list_vpcs(self, *, org: str = "", project: str = "") -> AsyncIterator[messages.Vpc]:
        """All the server has, or one organisation's, or one project's."""
        request = network.ListVpcsRequest(org_id=org, project_id=project)
        return self._pages(self._network.ListVpcs, request, lambda page: page.vpcs)

    def delete_vpc(self, project: Project, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeleteVpcRequest(**in_project(project), cascade=cascade)
        return self._deletion(self._network.DeleteVpc, "delete_vpc", request)
