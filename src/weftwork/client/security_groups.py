"""Calls about security groups."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from google.protobuf.field_mask_pb2 import FieldMask

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.messages import SecurityRule
from weftwork.client.names import Project, change_rules, in_project
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2_grpc


class SecurityGroupCalls(Calls):
    @cached_property
    def _groups(self) -> "weftwork_pb2_grpc.SecurityGroupServiceAsyncStub":
        return weftwork_pb2_grpc.SecurityGroupServiceStub(self._channel)

    def create_security_group(
        self,
        project: Project,
        name: str,
        *,
        description: str = "",
        ingress: Sequence[SecurityRule] = (),
        egress: Sequence[SecurityRule] = (),
    ) -> Mutation[messages.SecurityGroup]:
        request = network.CreateSecurityGroupRequest(
            **in_project(project), name=name, description=description, ingress_rules=ingress, egress_rules=egress
        )
        return self._mutation(self._network.CreateSecurityGroup, "create_security_group", request, retry=True)

    async def get_security_group(self, project: Project, group: str) -> messages.SecurityGroup:
        request = network.GetSecurityGroupRequest(**in_project(project), security_group_id=group)
        return await self._call(self._network.GetSecurityGroup, request)

    def list_security_groups(self, project: Project) -> AsyncIterator[messages.SecurityGroup]:
        request = network.ListSecurityGroupsRequest(**in_project(project))
        return self._pages(self._network.ListSecurityGroups, request, lambda page: page.security_groups)

    def update_security_group(
        self,
        project: Project,
        group: str,
        *,
        description: str | None = None,
        ingress: Sequence[SecurityRule] | None = None,
        egress: Sequence[SecurityRule] | None = None,
        if_revision: int = 0,
    ) -> Mutation[messages.SecurityGroup]:
        """Replace what is given. With `if_revision`, only if the group is still at that revision."""
        given = {"description": description, "ingress_rules": ingress, "egress_rules": egress}
        request = network.UpdateSecurityGroupRequest(
            **in_project(project),
            security_group_id=group,
            description=description or "",
            ingress_rules=ingress or (),
            egress_rules=egress or (),
            update_mask=FieldMask(paths=[path for path, value in given.items() if value is not None]),
            if_revision=if_revision,
        )
        return self._mutation(self._network.UpdateSecurityGroup, "update_security_group", request)

    def add_rules(
        self,
        project: Project,
        group: str,
        *,
        ingress: Sequence[SecurityRule] = (),
        egress: Sequence[SecurityRule] = (),
    ) -> Mutation[messages.SecurityGroup]:
        request = change_rules(project, group, ingress, egress)
        return self._mutation(self._groups.AddRules, "add_rules", request, retry=True)

    def remove_rules(
        self,
        project: Project,
        group: str,
        *,
        ingress: Sequence[SecurityRule] = (),
        egress: Sequence[SecurityRule] = (),
    ) -> Mutation[messages.SecurityGroup]:
        request = change_rules(project, group, ingress, egress)
        return self._mutation(self._groups.RemoveRules, "remove_rules", request)

    def delete_security_group(self, project: Project, group: str, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeleteSecurityGroupRequest(**in_project(project), security_group_id=group, cascade=cascade)
        return self._deletion(self._network.DeleteSecurityGroup, "delete_security_group", request)
