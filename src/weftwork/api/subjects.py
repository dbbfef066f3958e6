"""What a call is about: the thing that it changes, as the request names it."""

from collections.abc import Mapping
from typing import Any

from weftwork.actions.network import Network
from weftwork.api.conditions import find
from weftwork.model.keys import Kind, ThingKey
from weftwork.rpc import decode

_NETWORK = "/overlay_network.v1.NetworkService/"
_OURS = "/weftwork.v1."

SUBJECTS: Mapping[str, Kind] = {
    _NETWORK + "GetVpc": "vpc",
    _NETWORK + "DeleteVpc": "vpc",
    _NETWORK + "GetSubnet": "subnet",
    _NETWORK + "DeleteSubnet": "subnet",
    _OURS + "SubnetService/UpdateSubnet": "subnet",
    _NETWORK + "GetPort": "port",
    _NETWORK + "DeletePort": "port",
    _NETWORK + "AttachPort": "port",
    _NETWORK + "DetachPort": "port",
    _OURS + "PortService/PlugPort": "port",
    _OURS + "PortService/UnplugPort": "port",
    _OURS + "PortService/SetSecurityGroups": "port",
    _NETWORK + "GetSecurityGroup": "security-group",
    _NETWORK + "UpdateSecurityGroup": "security-group",
    _NETWORK + "DeleteSecurityGroup": "security-group",
    _OURS + "SecurityGroupService/AddRules": "security-group",
    _OURS + "SecurityGroupService/RemoveRules": "security-group",
    _NETWORK + "DeleteSnat": "snat",
    _NETWORK + "DeleteDnat": "dnat",
    _OURS + "PeeringService/GetPeering": "peering",
    _OURS + "PeeringService/DeletePeering": "peering",
    _OURS + "NetworkPolicyService/GetNetworkPolicy": "network-policy",
    _OURS + "NetworkPolicyService/UpdateNetworkPolicy": "network-policy",
    _OURS + "NetworkPolicyService/DeleteNetworkPolicy": "network-policy",
    _OURS + "NetworkPolicyService/AddPolicyRules": "network-policy",
    _OURS + "NetworkPolicyService/RemovePolicyRules": "network-policy",
    _OURS + "ReachTestService/GetReachTest": "reach-test",
    _OURS + "ReachTestService/DeleteReachTest": "reach-test",
    _OURS + "SharingService/UnshareSubnet": "subnet-share",
    _OURS + "VmService/GetVm": "vm",
    _OURS + "VmService/DeleteVm": "vm",
    _OURS + "VmService/StartVm": "vm",
    _OURS + "VmService/StopVm": "vm",
    _OURS + "VmService/RestartVm": "vm",
    _OURS + "VmService/ResizeVm": "vm",
    _OURS + "SshKeyService/GetSshKey": "ssh-key",
    _OURS + "SshKeyService/DeleteSshKey": "ssh-key",
}
"""By method. What is made has no subject, for it is not there before."""

_FIELDS: Mapping[Kind, str] = {
    "subnet": "subnet_id",
    "port": "port_id",
    "security-group": "security_group_id",
    "peering": "peering",
    "network-policy": "network_policy",
    "reach-test": "reach_test_id",
    "vm": "vm",
    "ssh-key": "ssh_key",
}


def subject_of(network: Network, method: str, request: Any) -> ThingKey:
    """The thing, looked up. Refusal when the project has none."""
    kind = SUBJECTS[method]
    owner = decode.owner(request)
    name = decode.thing_name(kind, _name(kind, request), _FIELDS.get(kind, ""), owner)
    return find(network, ThingKey(kind, owner, name))


def _name(kind: Kind, request: Any) -> str:
    match kind:
        case "vpc" | "snat":
            return ""
        case "dnat":
            protocol = decode.protocol(request.protocol, "protocol")
            return f"{request.external_ip}:{request.external_port}:{protocol.value}"
        case "subnet-share":
            return f"{request.subnet_id.rpartition('/')[2]}/{request.to}"
    return str(getattr(request, _FIELDS[kind]))
