"""Every call that only looks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from weftwork.actions import reads
from weftwork.actions.network import Stored
from weftwork.actions.pages import Page
from weftwork.api import history, network_policies, peerings, project_files, reach_tests, shares, ssh_keys, telling, vms
from weftwork.api.doors import Doors
from weftwork.api.explain import explain
from weftwork.api.listing import paging
from weftwork.api.mutations import MUTATIONS
from weftwork.base import codes
from weftwork.model.port import Port
from weftwork.rpc import decode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import (
    history_pb2,
    network_policy_pb2,
    peering_pb2,
    project_file_pb2,
    reach_test_pb2,
    sharing_pb2,
    vm_pb2,
)
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft
from weftwork.rpc.generated.weftwork.v1.explain_pb2 import ExplainRequest
from weftwork.seams.insight import PlanPreview


async def _get_vpc(doors: Doors, request: pb.GetVpcRequest) -> pb.Vpc:
    return doors.vpc(await reads.get_vpc(doors.network, owner=decode.owner(request)))


async def _list_vpcs(doors: Doors, request: pb.ListVpcsRequest) -> pb.ListVpcsResponse:
    page = await reads.list_vpcs(
        doors.network,
        org=decode.optional_name(request.org_id, "org_id"),
        project=decode.optional_name(request.project_id, "project_id"),
        **paging(request, pb.Vpc, doors.vpc),
    )
    return pb.ListVpcsResponse(vpcs=map(doors.vpc, page.items), next_page_token=page.next_page_token)


async def _get_subnet(doors: Doors, request: pb.GetSubnetRequest) -> pb.Subnet:
    subnet = decode.reference(request.subnet_id, "subnet_id")
    return doors.subnet(await reads.get_subnet(doors.network, owner=decode.owner(request), subnet=subnet))


async def _list_subnets(doors: Doors, request: pb.ListSubnetsRequest) -> pb.ListSubnetsResponse:
    page = await reads.list_subnets(
        doors.network, owner=decode.owner(request), **paging(request, pb.Subnet, doors.subnet)
    )
    return pb.ListSubnetsResponse(subnets=map(doors.subnet, page.items), next_page_token=page.next_page_token)


async def port_asked_for(doors: Doors, request: pb.GetPortRequest) -> Stored[Port]:
    port = decode.reference(request.port_id, "port_id")
    return await reads.get_port(doors.network, owner=decode.owner(request), port=port)


async def _get_port(doors: Doors, request: pb.GetPortRequest) -> pb.Port:
    return doors.port(await port_asked_for(doors, request))


async def page_of_ports(doors: Doors, request: pb.ListPortsRequest) -> Page[Port]:
    subnet = decode.reference(request.subnet_id, "subnet_id") if request.subnet_id else ""
    return await reads.list_ports(
        doors.network, owner=decode.owner(request), subnet=subnet, **paging(request, pb.Port, doors.port)
    )


async def _list_ports(doors: Doors, request: pb.ListPortsRequest) -> pb.ListPortsResponse:
    page = await page_of_ports(doors, request)
    return pb.ListPortsResponse(ports=map(doors.port, page.items), next_page_token=page.next_page_token)


async def _get_security_group(doors: Doors, request: pb.GetSecurityGroupRequest) -> pb.SecurityGroup:
    group = decode.reference(request.security_group_id, "security_group_id")
    return doors.security_group(await reads.get_security_group(doors.network, owner=decode.owner(request), group=group))


async def _list_security_groups(doors: Doors, request: pb.ListSecurityGroupsRequest) -> pb.ListSecurityGroupsResponse:
    page = await reads.list_security_groups(
        doors.network, owner=decode.owner(request), **paging(request, pb.SecurityGroup, doors.security_group)
    )
    return pb.ListSecurityGroupsResponse(
        security_groups=map(doors.security_group, page.items), next_page_token=page.next_page_token
    )


async def _list_snats(doors: Doors, request: weft.ListNatsRequest) -> weft.ListSnatsResponse:
    page = await reads.list_snats(
        doors.network, owner=decode.owner(request), **paging(request, pb.SnatConfig, doors.snat)
    )
    return weft.ListSnatsResponse(snats=map(doors.snat, page.items), next_page_token=page.next_page_token)


async def _list_dnats(doors: Doors, request: weft.ListNatsRequest) -> weft.ListDnatsResponse:
    page = await reads.list_dnats(
        doors.network, owner=decode.owner(request), **paging(request, pb.DnatConfig, doors.dnat)
    )
    return weft.ListDnatsResponse(dnats=map(doors.dnat, page.items), next_page_token=page.next_page_token)


async def _plan(doors: Doors, request: weft.PlanRequest) -> weft.PlanResponse:
    field = request.WhichOneof("mutation")
    if field is None:
        raise decode.refusal(codes.MISSING_FIELD, "mutation", "there is no mutation to plan")
    dry = doors.network.dry()
    await MUTATIONS[field].act(dry, getattr(request, field))
    return telling.plan(_seen_of(doors, await doors.insight.plan(dry.writes)))


def _seen_of(doors: Doors, preview: PlanPreview) -> PlanPreview:
    """What a tenant's change means for a peer is the peer's to see; so is what hosts do beside the tenant's VPC."""
    principal = doors.network.principal
    if principal.is_fleet_admin:
        return preview
    vpcs = {one.vpc.netns for owner, one in doors.network.view.intent.items() if one.vpc and principal.sees(owner)}
    return replace(
        preview,
        steps=tuple(step for step in preview.steps if step.scope in vpcs),
        reach=tuple(change for change in preview.reach if principal.sees(change.owner)),
    )


async def _list_targets(doors: Doors, request: Empty) -> weft.ListTargetsResponse:
    return weft.ListTargetsResponse(targets=map(telling.target, await doors.insight.targets()))


async def _get_target(doors: Doors, request: weft.GetTargetRequest) -> weft.TargetState:
    host, driver, scope = (
        decode.label(text, field)
        for text, field in ((request.host, "host"), (request.driver, "driver"), (request.scope, "scope"))
    )
    return telling.target_state(await doors.insight.target(host, driver, scope))


async def _list_leaks(doors: Doors, request: Empty) -> weft.ListLeaksResponse:
    return weft.ListLeaksResponse(leaks=map(telling.leak, await doors.insight.leaks()))


@dataclass(frozen=True, slots=True)
class Read:
    method: str
    request: type[Message]
    run: Callable[[Doors, Any], Awaitable[Message]]


_NETWORK = "/overlay_network.v1.NetworkService/"
GET_PORT = _NETWORK + "GetPort"
LIST_PORTS = _NETWORK + "ListPorts"
_TARGETS = "/weftwork.v1.TargetService/"

READS: Mapping[str, Read] = {
    read.method: read
    for read in (
        Read(_NETWORK + "GetVpc", pb.GetVpcRequest, _get_vpc),
        Read(_NETWORK + "ListVpcs", pb.ListVpcsRequest, _list_vpcs),
        Read(_NETWORK + "GetSubnet", pb.GetSubnetRequest, _get_subnet),
        Read(_NETWORK + "ListSubnets", pb.ListSubnetsRequest, _list_subnets),
        Read(GET_PORT, pb.GetPortRequest, _get_port),
        Read(LIST_PORTS, pb.ListPortsRequest, _list_ports),
        Read(_NETWORK + "GetSecurityGroup", pb.GetSecurityGroupRequest, _get_security_group),
        Read(_NETWORK + "ListSecurityGroups", pb.ListSecurityGroupsRequest, _list_security_groups),
        Read("/weftwork.v1.NatService/ListSnats", weft.ListNatsRequest, _list_snats),
        Read("/weftwork.v1.NatService/ListDnats", weft.ListNatsRequest, _list_dnats),
        Read(peerings.SERVICE + "GetPeering", peering_pb2.GetPeeringRequest, peerings.get),
        Read(peerings.SERVICE + "ListPeerings", peering_pb2.ListPeeringsRequest, peerings.list_peerings),
        Read(peerings.SERVICE + "ListPeeringOffers", peering_pb2.ListPeeringsRequest, peerings.list_offers),
        Read(
            network_policies.SERVICE + "GetNetworkPolicy",
            network_policy_pb2.GetNetworkPolicyRequest,
            network_policies.get,
        ),
        Read(
            network_policies.SERVICE + "ListNetworkPolicies",
            network_policy_pb2.ListNetworkPoliciesRequest,
            network_policies.list_policies,
        ),
        Read(reach_tests.SERVICE + "GetReachTest", reach_test_pb2.GetReachTestRequest, reach_tests.get),
        Read(reach_tests.SERVICE + "ListReachTests", reach_test_pb2.ListReachTestsRequest, reach_tests.list_tests),
        Read(reach_tests.SERVICE + "RunReachTests", reach_test_pb2.RunReachTestsRequest, reach_tests.run),
        Read(shares.SERVICE + "ListSubnetShares", sharing_pb2.ListSharesRequest, shares.list_shares),
        Read(shares.SERVICE + "ListSharedSubnets", sharing_pb2.ListSharesRequest, shares.list_shared),
        Read(vms.SERVICE + "GetVm", vm_pb2.GetVmRequest, vms.get),
        Read(vms.SERVICE + "ListVms", vm_pb2.ListVmsRequest, vms.list_vms),
        Read(ssh_keys.SERVICE + "GetSshKey", vm_pb2.GetSshKeyRequest, ssh_keys.get),
        Read(ssh_keys.SERVICE + "ListSshKeys", vm_pb2.ListSshKeysRequest, ssh_keys.list_keys),
        Read(history.SERVICE + "ListRevisions", history_pb2.ListRevisionsRequest, history.list_revisions),
        Read(history.SERVICE + "DiffRevisions", history_pb2.DiffRevisionsRequest, history.diff),
        Read(
            project_files.SERVICE + "ExportProject",
            project_file_pb2.ExportProjectRequest,
            project_files.export_project,
        ),
        Read("/weftwork.v1.PlanService/Plan", weft.PlanRequest, _plan),
        Read(_TARGETS + "ListTargets", Empty, _list_targets),
        Read(_TARGETS + "GetTarget", weft.GetTargetRequest, _get_target),
        Read(_TARGETS + "ListLeaks", Empty, _list_leaks),
        Read("/weftwork.v1.ExplainService/Explain", ExplainRequest, explain),
    )
}
