"""The NetworkPolicyService: rules of a project or a subnet above its security groups."""

from functools import partial

from weftwork.actions import network_policies
from weftwork.actions.network import Network, Stored
from weftwork.actions.rows import key_of
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.api.listing import paging
from weftwork.model.network_policy import NetworkPolicy
from weftwork.rpc import decode, encode
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2 as pb

SERVICE = "/weftwork.v1.NetworkPolicyService/"

_UPDATABLE = frozenset({"priority", "rules"})


def told(doors: Doors, stored: Stored[NetworkPolicy]) -> pb.NetworkPolicy:
    conditions = map(telling.condition, doors.conditions.of(key_of(stored.value), stored.revision))
    return encode.network_policy(stored.value, stored.revision, conditions)


async def create(network: Network, request: pb.CreateNetworkPolicyRequest) -> Stored[NetworkPolicy]:
    owner = decode.owner(request)
    return await network_policies.create_network_policy(
        network,
        owner=owner,
        name=decode.name(request.name, "name"),
        kind=decode.policy_kind(request.policy_kind, "policy_kind"),
        subnet=decode.reference(request.subnet_id, "subnet_id") if request.subnet_id else "",
        priority=request.priority,
        rules=decode.policy_rules(request.rules, "rules", owner),
    )


async def update(network: Network, request: pb.UpdateNetworkPolicyRequest) -> Stored[NetworkPolicy]:
    owner = decode.owner(request)
    paths = decode.update_paths(request.update_mask.paths, _UPDATABLE)
    return await network_policies.update_network_policy(
        network,
        owner=owner,
        policy=decode.reference(request.network_policy, "network_policy"),
        priority=request.priority if "priority" in paths else None,
        rules=decode.policy_rules(request.rules, "rules", owner) if "rules" in paths else None,
        if_revision=request.if_revision,
    )


async def delete(network: Network, request: pb.DeleteNetworkPolicyRequest) -> None:
    policy = decode.reference(request.network_policy, "network_policy")
    await network_policies.delete_network_policy(network, owner=decode.owner(request), policy=policy)


async def add_rules(network: Network, request: pb.AddPolicyRulesRequest) -> Stored[NetworkPolicy]:
    owner = decode.owner(request)
    return await network_policies.add_policy_rules(
        network,
        owner=owner,
        policy=decode.reference(request.network_policy, "network_policy"),
        rules=decode.policy_rules(request.rules, "rules", owner),
        position=request.position,
    )


async def remove_rules(network: Network, request: pb.RemovePolicyRulesRequest) -> Stored[NetworkPolicy]:
    owner = decode.owner(request)
    return await network_policies.remove_policy_rules(
        network,
        owner=owner,
        policy=decode.reference(request.network_policy, "network_policy"),
        rules=decode.policy_rules(request.rules, "rules", owner),
    )


async def get(doors: Doors, request: pb.GetNetworkPolicyRequest) -> pb.NetworkPolicy:
    policy = decode.reference(request.network_policy, "network_policy")
    found = await network_policies.get_network_policy(doors.network, owner=decode.owner(request), policy=policy)
    return told(doors, found)


async def list_policies(doors: Doors, request: pb.ListNetworkPoliciesRequest) -> pb.ListNetworkPoliciesResponse:
    asked = paging(request, pb.NetworkPolicy, partial(told, doors))
    page = await network_policies.list_network_policies(doors.network, owner=decode.owner(request), **asked)
    return pb.ListNetworkPoliciesResponse(
        network_policies=[told(doors, one) for one in page.items], next_page_token=page.next_page_token
    )
