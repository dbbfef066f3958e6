"""Calls about network policies."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from google.protobuf.field_mask_pb2 import FieldMask

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2 as policy
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2_grpc


class NetworkPolicyCalls(Calls):
    @cached_property
    def _policies(self) -> "network_policy_pb2_grpc.NetworkPolicyServiceAsyncStub":
        return network_policy_pb2_grpc.NetworkPolicyServiceStub(self._channel)

    def create_network_policy(
        self,
        project: Project,
        name: str,
        kind: str,
        priority: int,
        *,
        subnet: str = "",
        rules: Sequence[messages.PolicyRule] = (),
    ) -> Mutation[messages.NetworkPolicy]:
        """`kind` is ingress, egress or isolation; without a subnet it is for the whole project."""
        request = policy.CreateNetworkPolicyRequest(
            **in_project(project),
            name=name,
            policy_kind=policy.NetworkPolicy.Kind.Value(f"KIND_{kind.upper()}"),
            subnet_id=subnet,
            priority=priority,
            rules=rules,
        )
        return self._mutation(self._policies.CreateNetworkPolicy, "create_network_policy", request, retry=True)

    async def get_network_policy(self, project: Project, name: str) -> messages.NetworkPolicy:
        request = policy.GetNetworkPolicyRequest(**in_project(project), network_policy=name)
        return await self._call(self._policies.GetNetworkPolicy, request)

    def list_network_policies(self, project: Project) -> AsyncIterator[messages.NetworkPolicy]:
        request = policy.ListNetworkPoliciesRequest(**in_project(project))
        return self._pages(self._policies.ListNetworkPolicies, request, lambda page: page.network_policies)

    def update_network_policy(
        self,
        project: Project,
        name: str,
        *,
        priority: int | None = None,
        rules: Sequence[messages.PolicyRule] | None = None,
        if_revision: int = 0,
    ) -> Mutation[messages.NetworkPolicy]:
        """Replaces what is given; with `if_revision`, only while the policy is at that revision."""
        given = {"priority": priority, "rules": rules}
        request = policy.UpdateNetworkPolicyRequest(
            **in_project(project),
            network_policy=name,
            priority=priority or 0,
            rules=rules or (),
            update_mask=FieldMask(paths=[field for field, value in given.items() if value is not None]),
            if_revision=if_revision,
        )
        return self._mutation(self._policies.UpdateNetworkPolicy, "update_network_policy", request)

    def delete_network_policy(self, project: Project, name: str) -> Mutation[None]:
        request = policy.DeleteNetworkPolicyRequest(**in_project(project), network_policy=name)
        return self._deletion(self._policies.DeleteNetworkPolicy, "delete_network_policy", request)

    def add_policy_rules(
        self, project: Project, name: str, rules: Sequence[messages.PolicyRule], *, position: int = 0
    ) -> Mutation[messages.NetworkPolicy]:
        """`position` 1 is before all others, 0 behind them."""
        request = policy.AddPolicyRulesRequest(
            **in_project(project), network_policy=name, rules=rules, position=position
        )
        return self._mutation(self._policies.AddPolicyRules, "add_policy_rules", request)

    def remove_policy_rules(
        self, project: Project, name: str, rules: Sequence[messages.PolicyRule]
    ) -> Mutation[messages.NetworkPolicy]:
        request = policy.RemovePolicyRulesRequest(**in_project(project), network_policy=name, rules=rules)
        return self._mutation(self._policies.RemovePolicyRules, "remove_policy_rules", request)
