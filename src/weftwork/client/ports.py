"""Calls about ports."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weftwork
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2_grpc


class PortCalls(Calls):
    @cached_property
    def _ports(self) -> "weftwork_pb2_grpc.PortServiceAsyncStub":
        return weftwork_pb2_grpc.PortServiceStub(self._channel)

    def create_port(
        self,
        project: Project,
        *,
        name: str = "",
        subnet: str = "",
        vm: str = "",
        mac: str = "",
        ip: str = "",
        groups: Sequence[str] = (),
    ) -> Mutation[messages.Port]:
        """Without a name each call makes another port."""
        request = network.CreatePortRequest(
            **in_project(project),
            subnet_id=subnet,
            vm_id=vm,
            mac_address=mac,
            ip_address=ip,
            security_group_ids=groups,
            name=name,
        )
        return self._mutation(self._network.CreatePort, "create_port", request, retry=bool(name))

    async def get_port(self, project: Project, port: str) -> messages.Port:
        return await self._call(self._network.GetPort, network.GetPortRequest(**in_project(project), port_id=port))

    def list_ports(self, project: Project, *, subnet: str = "") -> AsyncIterator[messages.Port]:
        request = network.ListPortsRequest(**in_project(project), subnet_id=subnet)
        return self._pages(self._network.ListPorts, request, lambda page: page.ports)

    def delete_port(self, project: Project, port: str, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeletePortRequest(**in_project(project), port_id=port, cascade=cascade)
        return self._deletion(self._network.DeletePort, "delete_port", request)

    def attach_port(self, project: Project, port: str, vm: str, *, host: str = "") -> Mutation[messages.Port]:
        """On a host of the fleet, when one is named; a port that is on another one moves."""
        request = network.AttachPortRequest(**in_project(project), port_id=port, vm_id=vm, host=host)
        return self._mutation(self._network.AttachPort, "attach_port", request)

    def detach_port(self, project: Project, port: str) -> Mutation[None]:
        request = network.DetachPortRequest(**in_project(project), port_id=port)
        return self._deletion(self._network.DetachPort, "detach_port", request)

    def plug_port(
        self, project: Project, port: str, netns: str, *, interface: str = "", host: str = ""
    ) -> Mutation[messages.Port]:
        """Make a network namespace the port's guest, on the server's own machine or on a host of the fleet. A port
        that is on another host moves."""
        request = weftwork.PlugPortRequest(
            **in_project(project), port_id=port, netns=netns, interface=interface, host=host
        )
        return self._mutation(self._ports.PlugPort, "plug_port", request)

    def unplug_port(self, project: Project, port: str) -> Mutation[messages.Port]:
        request = weftwork.UnplugPortRequest(**in_project(project), port_id=port)
        return self._mutation(self._ports.UnplugPort, "unplug_port", request)

    def set_security_groups(self, project: Project, port: str, groups: Sequence[str]) -> Mutation[messages.Port]:
        request = weftwork.SetSecurityGroupsRequest(**in_project(project), port_id=port, security_group_ids=groups)
        return self._mutation(self._ports.SetSecurityGroups, "set_security_groups", request)
