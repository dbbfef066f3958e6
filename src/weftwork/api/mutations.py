"""Every call that changes something: one function that decodes and calls one action, so that it can be planned too."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from weftwork.actions import nat, ports, security_groups, subnets, vpcs
from weftwork.actions.batch import run_batch
from weftwork.actions.network import Network, Stored
from weftwork.api import flows, history, network_policies, peerings, project_files, reach_tests, shares, ssh_keys, vms
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.model.nat import Dnat, Snat
from weftwork.model.port import Port
from weftwork.model.security_group import SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.rpc import decode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import (
    flow_pb2,
    history_pb2,
    network_policy_pb2,
    peering_pb2,
    project_file_pb2,
    reach_test_pb2,
    sharing_pb2,
    subnet_pb2,
    vm_pb2,
)
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft

_UPDATABLE = frozenset({"description", "ingress_rules", "egress_rules"})
_UPDATABLE_OF_SUBNETS = frozenset({"dhcp_enabled", "dns_servers", "domain_name", "ntp_servers", "lease_time_s"})


async def _create_vpc(network: Network, request: pb.CreateVpcRequest) -> Stored[Vpc]:
    return await vpcs.create_vpc(
        network,
        owner=decode.owner(request),
        name=decode.optional_name(request.name, "name"),
        cidr=decode.optional_cidr(request.cidr, "cidr"),
    )


async def _delete_vpc(network: Network, request: pb.DeleteVpcRequest) -> None:
    await vpcs.delete_vpc(network, owner=decode.owner(request), cascade=request.cascade)


async def _create_subnet(network: Network, request: pb.CreateSubnetRequest) -> Stored[Subnet]:
    return await subnets.create_subnet(
        network,
        owner=decode.vpc_owner(request.org_id, request.project_id, request.vpc_id),
        name=decode.name(request.name, "name"),
        cidr=decode.optional_cidr(request.cidr, "cidr"),
        dhcp_enabled=request.dhcp_enabled,
        dns_servers=decode.addresses(request.dns_servers, "dns_servers"),
        domain_name=request.domain_name,
        ntp_servers=decode.addresses(request.ntp_servers, "ntp_servers"),
        lease_time_s=request.lease_time_s or decode.DEFAULT_LEASE_TIME_S,
    )


async def _delete_subnet(network: Network, request: pb.DeleteSubnetRequest) -> None:
    await subnets.delete_subnet(
        network,
        owner=decode.owner(request),
        subnet=decode.reference(request.subnet_id, "subnet_id"),
        cascade=request.cascade,
    )


async def _update_subnet(network: Network, request: subnet_pb2.UpdateSubnetRequest) -> Stored[Subnet]:
    paths = decode.update_paths(request.update_mask.paths, _UPDATABLE_OF_SUBNETS)
    dns_servers = decode.addresses(request.dns_servers, "dns_servers")
    ntp_servers = decode.addresses(request.ntp_servers, "ntp_servers")
    return await subnets.update_subnet(
        network,
        owner=decode.owner(request),
        subnet=decode.reference(request.subnet_id, "subnet_id"),
        dhcp_enabled=request.dhcp_enabled if "dhcp_enabled" in paths else None,
        dns_servers=dns_servers if "dns_servers" in paths else None,
        domain_name=request.domain_name if "domain_name" in paths else None,
        ntp_servers=ntp_servers if "ntp_servers" in paths else None,
        lease_time_s=(request.lease_time_s or decode.DEFAULT_LEASE_TIME_S) if "lease_time_s" in paths else None,
    )


async def _create_port(network: Network, request: pb.CreatePortRequest) -> Stored[Port]:
    return await ports.create_port(
        network,
        owner=decode.owner(request),
        subnet=decode.reference(request.subnet_id, "subnet_id", decode.DEFAULT),
        name=decode.optional_name(request.name, "name"),
        vm=request.vm_id,
        mac=decode.optional_mac(request.mac_address, "mac_address"),
        address=decode.optional_address(request.ip_address, "ip_address"),
        groups=decode.references(request.security_group_ids, "security_group_ids", (decode.DEFAULT,)),
    )


async def _delete_port(network: Network, request: pb.DeletePortRequest) -> None:
    await ports.delete_port(
        network, owner=decode.owner(request), port=decode.reference(request.port_id, "port_id"), cascade=request.cascade
    )


async def _attach_port(network: Network, request: pb.AttachPortRequest) -> Stored[Port]:
    return await ports.attach_port(
        network,
        owner=decode.owner(request),
        port=decode.reference(request.port_id, "port_id"),
        vm=decode.required(request.vm_id, "vm_id"),
        host=request.host,
    )


async def _detach_port(network: Network, request: pb.DetachPortRequest) -> None:
    await ports.detach_port(network, owner=decode.owner(request), port=decode.reference(request.port_id, "port_id"))


async def _plug_port(network: Network, request: weft.PlugPortRequest) -> Stored[Port]:
    return await ports.plug_port(
        network,
        owner=decode.owner(request),
        port=decode.reference(request.port_id, "port_id"),
        netns=decode.required(request.netns, "netns"),
        interface=request.interface or decode.DEFAULT_INTERFACE,
        host=decode.optional_name(request.host, "host"),
    )


async def _unplug_port(network: Network, request: weft.UnplugPortRequest) -> Stored[Port]:
    return await ports.unplug_port(
        network, owner=decode.owner(request), port=decode.reference(request.port_id, "port_id")
    )


async def _set_security_groups(network: Network, request: weft.SetSecurityGroupsRequest) -> Stored[Port]:
    return await ports.set_security_groups(
        network,
        owner=decode.owner(request),
        port=decode.reference(request.port_id, "port_id"),
        groups=decode.references(request.security_group_ids, "security_group_ids"),
    )


async def _create_security_group(network: Network, request: pb.CreateSecurityGroupRequest) -> Stored[SecurityGroup]:
    owner = decode.owner(request)
    return await security_groups.create_security_group(
        network,
        owner=owner,
        name=decode.name(request.name, "name"),
        description=request.description,
        ingress=decode.rules(request.ingress_rules, "ingress_rules", owner),
        egress=decode.rules(request.egress_rules, "egress_rules", owner),
    )


async def _update_security_group(network: Network, request: pb.UpdateSecurityGroupRequest) -> Stored[SecurityGroup]:
    owner = decode.owner(request)
    paths = decode.update_paths(request.update_mask.paths, _UPDATABLE)
    ingress = decode.rules(request.ingress_rules, "ingress_rules", owner)
    egress = decode.rules(request.egress_rules, "egress_rules", owner)
    return await security_groups.update_security_group(
        network,
        owner=owner,
        group=decode.reference(request.security_group_id, "security_group_id"),
        description=request.description if "description" in paths else None,
        ingress=ingress if "ingress_rules" in paths else None,
        egress=egress if "egress_rules" in paths else None,
        if_revision=request.if_revision,
    )


async def _add_rules(network: Network, request: weft.ChangeRulesRequest) -> Stored[SecurityGroup]:
    return await security_groups.add_rules(network, **_rules(request))


async def _remove_rules(network: Network, request: weft.ChangeRulesRequest) -> Stored[SecurityGroup]:
    return await security_groups.remove_rules(network, **_rules(request))


def _rules(request: weft.ChangeRulesRequest) -> dict[str, Any]:
    owner = decode.owner(request)
    return {
        "owner": owner,
        "group": decode.reference(request.security_group_id, "security_group_id"),
        "ingress": decode.rules(request.ingress_rules, "ingress_rules", owner),
        "egress": decode.rules(request.egress_rules, "egress_rules", owner),
    }


async def _delete_security_group(network: Network, request: pb.DeleteSecurityGroupRequest) -> None:
    await security_groups.delete_security_group(
        network,
        owner=decode.owner(request),
        group=decode.reference(request.security_group_id, "security_group_id"),
        cascade=request.cascade,
    )


async def _create_snat(network: Network, request: pb.CreateSnatRequest) -> Stored[Snat]:
    return await nat.create_snat(
        network,
        owner=decode.vpc_owner(request.org_id, request.project_id, request.vpc_id),
        external_ip=decode.optional_address(request.external_ip, "external_ip"),
        enabled=request.enabled if request.HasField("enabled") else True,
    )


async def _delete_snat(network: Network, request: pb.DeleteSnatRequest) -> None:
    await nat.delete_snat(
        network,
        owner=decode.vpc_owner(request.org_id, request.project_id, request.vpc_id),
        external_ip=decode.optional_address(request.external_ip, "external_ip"),
    )


async def _create_dnat(network: Network, request: pb.CreateDnatRequest) -> Stored[Dnat]:
    external_port = decode.transport_port(request.external_port, "external_port")
    return await nat.create_dnat(
        network,
        owner=decode.vpc_owner(request.org_id, request.project_id, request.vpc_id),
        external_ip=decode.optional_address(request.external_ip, "external_ip"),
        external_port=external_port,
        protocol=decode.protocol(request.protocol, "protocol"),
        internal_ip=decode.address(request.internal_ip, "internal_ip"),
        internal_port=decode.transport_port(request.internal_port or external_port, "internal_port"),
    )


async def _delete_dnat(network: Network, request: pb.DeleteDnatRequest) -> None:
    await nat.delete_dnat(
        network,
        owner=decode.vpc_owner(request.org_id, request.project_id, request.vpc_id),
        external_ip=decode.address(request.external_ip, "external_ip"),
        external_port=decode.transport_port(request.external_port, "external_port"),
        protocol=decode.protocol(request.protocol, "protocol"),
    )


def _nothing(doors: Doors, stored: None) -> Empty:
    return Empty()


async def _batch(network: Network, request: weft.BatchRequest) -> Stored[tuple[Any, ...]]:
    steps = [_step(one, number) for number, one in enumerate(request.mutations, 1)]
    if not steps:
        raise decode.refusal(codes.INVALID_BATCH, "mutations", "there is no change in it")
    return await run_batch(network, steps)


def _step(request: weft.PlanRequest, number: int) -> Callable[[Network], Awaitable[Any]]:
    field = request.WhichOneof("mutation")
    if field in (None, "batch", "rollback"):
        said = f"change {number} is " + ("empty" if field is None else f"a {field}, which stands alone")
        raise decode.refusal(codes.INVALID_BATCH, f"mutations[{number - 1}]", said)
    return partial(_act, MUTATIONS[field], getattr(request, field))


async def _act(mutation: "Mutation", request: Message, network: Network) -> tuple["Mutation", Any]:
    return mutation, await mutation.act(network, request)


def _told_batch(doors: Doors, stored: Stored[tuple[Any, ...]]) -> weft.BatchResponse:
    response = weft.BatchResponse(revision=stored.revision)
    for mutation, value in stored.value:
        told = mutation.told(doors, value)
        getattr(response.results.add(), ANSWERS[told.DESCRIPTOR.full_name]).CopyFrom(told)
    return response


ANSWERS: Mapping[str, str] = {
    field.message_type.full_name: field.name
    for field in weft.BatchResult.DESCRIPTOR.fields
    if field.message_type is not None
}
"""The field of a result, by the kind of message that a change answers with."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """`act` decodes and decides on any network, a dry one too; `told` makes the answer of what it returned."""

    method: str
    request: type[Message]
    act: Callable[[Network, Any], Awaitable[Any]]
    told: Callable[[Doors, Any], Message]

    async def run(self, doors: Doors, request: Message) -> Message:
        return self.told(doors, await self.act(doors.network, request))


_NETWORK = "/overlay_network.v1.NetworkService/"
_PORTS = "/weftwork.v1.PortService/"
_GROUPS = "/weftwork.v1.SecurityGroupService/"

MUTATIONS: Mapping[str, Mutation] = {
    "create_vpc": Mutation(_NETWORK + "CreateVpc", pb.CreateVpcRequest, _create_vpc, Doors.vpc),
    "delete_vpc": Mutation(_NETWORK + "DeleteVpc", pb.DeleteVpcRequest, _delete_vpc, _nothing),
    "create_subnet": Mutation(_NETWORK + "CreateSubnet", pb.CreateSubnetRequest, _create_subnet, Doors.subnet),
    "delete_subnet": Mutation(_NETWORK + "DeleteSubnet", pb.DeleteSubnetRequest, _delete_subnet, _nothing),
    "create_port": Mutation(_NETWORK + "CreatePort", pb.CreatePortRequest, _create_port, Doors.port),
    "delete_port": Mutation(_NETWORK + "DeletePort", pb.DeletePortRequest, _delete_port, _nothing),
    "attach_port": Mutation(_NETWORK + "AttachPort", pb.AttachPortRequest, _attach_port, Doors.port),
    "detach_port": Mutation(_NETWORK + "DetachPort", pb.DetachPortRequest, _detach_port, _nothing),
    "create_security_group": Mutation(
        _NETWORK + "CreateSecurityGroup", pb.CreateSecurityGroupRequest, _create_security_group, Doors.security_group
    ),
    "update_security_group": Mutation(
        _NETWORK + "UpdateSecurityGroup", pb.UpdateSecurityGroupRequest, _update_security_group, Doors.security_group
    ),
    "delete_security_group": Mutation(
        _NETWORK + "DeleteSecurityGroup", pb.DeleteSecurityGroupRequest, _delete_security_group, _nothing
    ),
    "create_snat": Mutation(_NETWORK + "CreateSnat", pb.CreateSnatRequest, _create_snat, Doors.snat),
    "delete_snat": Mutation(_NETWORK + "DeleteSnat", pb.DeleteSnatRequest, _delete_snat, _nothing),
    "create_dnat": Mutation(_NETWORK + "CreateDnat", pb.CreateDnatRequest, _create_dnat, Doors.dnat),
    "delete_dnat": Mutation(_NETWORK + "DeleteDnat", pb.DeleteDnatRequest, _delete_dnat, _nothing),
    "plug_port": Mutation(_PORTS + "PlugPort", weft.PlugPortRequest, _plug_port, Doors.port),
    "unplug_port": Mutation(_PORTS + "UnplugPort", weft.UnplugPortRequest, _unplug_port, Doors.port),
    "set_security_groups": Mutation(
        _PORTS + "SetSecurityGroups", weft.SetSecurityGroupsRequest, _set_security_groups, Doors.port
    ),
    "add_rules": Mutation(_GROUPS + "AddRules", weft.ChangeRulesRequest, _add_rules, Doors.security_group),
    "remove_rules": Mutation(_GROUPS + "RemoveRules", weft.ChangeRulesRequest, _remove_rules, Doors.security_group),
    "create_peering": Mutation(
        peerings.SERVICE + "CreatePeering", peering_pb2.CreatePeeringRequest, peerings.create, peerings.told
    ),
    "delete_peering": Mutation(
        peerings.SERVICE + "DeletePeering", peering_pb2.DeletePeeringRequest, peerings.delete, _nothing
    ),
    "create_network_policy": Mutation(
        network_policies.SERVICE + "CreateNetworkPolicy",
        network_policy_pb2.CreateNetworkPolicyRequest,
        network_policies.create,
        network_policies.told,
    ),
    "update_network_policy": Mutation(
        network_policies.SERVICE + "UpdateNetworkPolicy",
        network_policy_pb2.UpdateNetworkPolicyRequest,
        network_policies.update,
        network_policies.told,
    ),
    "delete_network_policy": Mutation(
        network_policies.SERVICE + "DeleteNetworkPolicy",
        network_policy_pb2.DeleteNetworkPolicyRequest,
        network_policies.delete,
        _nothing,
    ),
    "add_policy_rules": Mutation(
        network_policies.SERVICE + "AddPolicyRules",
        network_policy_pb2.AddPolicyRulesRequest,
        network_policies.add_rules,
        network_policies.told,
    ),
    "remove_policy_rules": Mutation(
        network_policies.SERVICE + "RemovePolicyRules",
        network_policy_pb2.RemovePolicyRulesRequest,
        network_policies.remove_rules,
        network_policies.told,
    ),
    "create_reach_test": Mutation(
        reach_tests.SERVICE + "CreateReachTest",
        reach_test_pb2.CreateReachTestRequest,
        reach_tests.create,
        reach_tests.told,
    ),
    "delete_reach_test": Mutation(
        reach_tests.SERVICE + "DeleteReachTest", reach_test_pb2.DeleteReachTestRequest, reach_tests.delete, _nothing
    ),
    "apply_reach_tests": Mutation(
        reach_tests.SERVICE + "ApplyReachTests",
        reach_test_pb2.ApplyReachTestsRequest,
        reach_tests.apply,
        reach_tests.told_applied,
    ),
    "update_subnet": Mutation(
        "/weftwork.v1.SubnetService/UpdateSubnet", subnet_pb2.UpdateSubnetRequest, _update_subnet, Doors.subnet
    ),
    "apply_project": Mutation(
        project_files.SERVICE + "ApplyProject",
        project_file_pb2.ApplyProjectRequest,
        project_files.apply_files,
        project_files.told_applied,
    ),
    "rollback": Mutation(
        history.SERVICE + "Rollback", history_pb2.RollbackRequest, history.rollback, history.told_rollback
    ),
    "batch": Mutation("/weftwork.v1.BatchService/Batch", weft.BatchRequest, _batch, _told_batch),
    "create_vm": Mutation(vms.SERVICE + "CreateVm", vm_pb2.CreateVmRequest, vms.create, vms.told),
    "delete_vm": Mutation(vms.SERVICE + "DeleteVm", vm_pb2.DeleteVmRequest, vms.delete, _nothing),
    "start_vm": Mutation(vms.SERVICE + "StartVm", vm_pb2.VmRequest, vms.start, vms.told),
    "stop_vm": Mutation(vms.SERVICE + "StopVm", vm_pb2.VmRequest, vms.stop, vms.told),
    "restart_vm": Mutation(vms.SERVICE + "RestartVm", vm_pb2.VmRequest, vms.restart, vms.told),
    "resize_vm": Mutation(vms.SERVICE + "ResizeVm", vm_pb2.ResizeVmRequest, vms.resize, vms.told),
    "create_ssh_key": Mutation(
        ssh_keys.SERVICE + "CreateSshKey", vm_pb2.CreateSshKeyRequest, ssh_keys.create, ssh_keys.told
    ),
    "delete_ssh_key": Mutation(
        ssh_keys.SERVICE + "DeleteSshKey", vm_pb2.DeleteSshKeyRequest, ssh_keys.delete, _nothing
    ),
    "set_flow_log": Mutation(
        flows.SERVICE + "SetFlowLog", flow_pb2.SetFlowLogRequest, flows.set_flow_log, flows.told_log
    ),
    "share_subnet": Mutation(shares.SERVICE + "ShareSubnet", sharing_pb2.ShareSubnetRequest, shares.share, shares.told),
    "unshare_subnet": Mutation(
        shares.SERVICE + "UnshareSubnet", sharing_pb2.UnshareSubnetRequest, shares.unshare, _nothing
    ),
}
"""By the name of the field that carries the request in a PlanRequest."""
