"""Values to messages. Nothing is decided here."""

from collections.abc import Iterable

from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.peering import Peering
from weftwork.model.port import AttachmentKind, Port
from weftwork.model.security_group import GroupRef, Protocol, Rule, SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2 as policy_pb2
from weftwork.rpc.generated.weftwork.v1 import peering_pb2, sharing_pb2

Conditions = Iterable[pb.Condition]

_PROTOCOLS = {
    Protocol.TCP: pb.PROTOCOL_TCP,
    Protocol.UDP: pb.PROTOCOL_UDP,
    Protocol.ICMP: pb.PROTOCOL_ICMP,
    Protocol.ALL: pb.PROTOCOL_ALL,
}
_POLICY_KINDS = {
    PolicyKind.INGRESS: policy_pb2.NetworkPolicy.KIND_INGRESS,
    PolicyKind.EGRESS: policy_pb2.NetworkPolicy.KIND_EGRESS,
    PolicyKind.ISOLATION: policy_pb2.NetworkPolicy.KIND_ISOLATION,
}
_POLICY_ACTIONS = {
    Action.ALLOW: policy_pb2.PolicyRule.ACTION_ALLOW,
    Action.DENY: policy_pb2.PolicyRule.ACTION_DENY,
}
_ATTACHMENTS = {
    AttachmentKind.TAP: pb.Attachment.KIND_TAP,
    AttachmentKind.NETNS: pb.Attachment.KIND_NETNS,
}


def vpc(value: Vpc, revision: int, conditions: Conditions) -> pb.Vpc:
    return pb.Vpc(
        id=value.id,
        org_id=value.owner.org,
        project_id=value.owner.project,
        name=value.name,
        cidr=str(value.cidr),
        created_at=value.created_at,
        updated_at=value.updated_at,
        vni=value.vni,
        revision=revision,
        conditions=conditions,
    )


def subnet(value: Subnet, revision: int, conditions: Conditions) -> pb.Subnet:
    return pb.Subnet(
        id=value.id,
        org_id=value.owner.org,
        project_id=value.owner.project,
        vpc_id=str(value.owner),
        name=value.name,
        cidr=str(value.cidr),
        gateway_ip=str(value.gateway),
        dns_servers=_texts(value.dns_servers),
        dhcp_enabled=value.dhcp_enabled,
        created_at=value.created_at,
        domain_name=value.domain_name,
        ntp_servers=_texts(value.ntp_servers),
        lease_time_s=value.lease_time_s,
        vlan=value.vlan,
        revision=revision,
        conditions=conditions,
    )


def port(value: Port, revision: int, conditions: Conditions, *, netns: str, mtu_bytes: int) -> pb.Port:
    """`netns` is the namespace that the port's device is in, if it has one."""
    owner = value.owner
    prefix = f"{owner.org}/{owner.project}/"
    at = value.attachment
    return pb.Port(
        id=value.id,
        org_id=owner.org,
        project_id=owner.project,
        subnet_id=f"{value.home}/{value.subnet}",
        vm_id=value.vm or None,
        mac_address=value.mac,
        ip_address=str(value.addresses[0]) if value.addresses else None,
        security_group_ids=[prefix + group for group in value.groups],
        created_at=value.created_at,
        name=value.name,
        attachment=pb.Attachment(kind=_ATTACHMENTS[at.kind], netns=at.netns, interface=at.interface, host=at.host)
        if at
        else None,
        device=value.device if at else "",
        device_netns=netns if at else "",
        mtu_bytes=mtu_bytes,
        revision=revision,
        conditions=conditions,
    )


def security_group(value: SecurityGroup, revision: int, conditions: Conditions) -> pb.SecurityGroup:
    return pb.SecurityGroup(
        id=value.id,
        org_id=value.owner.org,
        project_id=value.owner.project,
        name=value.name,
        description=value.description,
        ingress_rules=[rule(one, value.owner) for one in value.ingress],
        egress_rules=[rule(one, value.owner) for one in value.egress],
        created_at=value.created_at,
        revision=revision,
        conditions=conditions,
    )


def rule(value: Rule, owner: ProjectKey) -> pb.SecurityRule:
    is_group = isinstance(value.peer, GroupRef)
    return pb.SecurityRule(
        protocol=_PROTOCOLS[value.protocol],
        port_range=pb.PortRange(min=value.ports.min, max=value.ports.max) if value.ports else None,
        source_type=pb.SOURCE_TYPE_SECURITY_GROUP if is_group else pb.SOURCE_TYPE_CIDR,
        source=f"{value.peer.owner or owner}/{value.peer.name}"
        if isinstance(value.peer, GroupRef)
        else str(value.peer),
    )


def protocol(value: Protocol) -> pb.Protocol.ValueType:
    return _PROTOCOLS[value]


def snat(value: Snat, revision: int, conditions: Conditions) -> pb.SnatConfig:
    return pb.SnatConfig(
        vpc_id=str(value.owner),
        external_ip=str(value.external_ip),
        enabled=value.enabled,
        revision=revision,
        conditions=conditions,
    )


def dnat(value: Dnat, revision: int, conditions: Conditions) -> pb.DnatConfig:
    return pb.DnatConfig(
        vpc_id=str(value.owner),
        external_ip=str(value.external_ip),
        external_port=value.external_port,
        internal_ip=str(value.internal_ip),
        internal_port=value.internal_port,
        protocol=_PROTOCOLS[value.protocol],
        revision=revision,
        conditions=conditions,
    )


def peering(value: Peering, revision: int, conditions: Conditions, *, peer_cidr: Cidr | None) -> peering_pb2.Peering:
    """`peer_cidr` is None while it is not active."""
    return peering_pb2.Peering(
        id=value.id,
        org_id=value.owner.org,
        project_id=value.owner.project,
        name=value.name,
        peer=str(value.peer),
        state=peering_pb2.Peering.STATE_ACTIVE if peer_cidr else peering_pb2.Peering.STATE_PENDING,
        peer_cidr=str(peer_cidr or ""),
        created_at=value.created_at,
        revision=revision,
        conditions=conditions,
    )


def network_policy(value: NetworkPolicy, revision: int, conditions: Conditions) -> policy_pb2.NetworkPolicy:
    return policy_pb2.NetworkPolicy(
        id=value.id,
        org_id=value.owner.org,
        project_id=value.owner.project,
        name=value.name,
        policy_kind=_POLICY_KINDS[value.kind],
        subnet_id=f"{value.owner}/{value.subnet}" if value.subnet else "",
        priority=value.priority,
        rules=[policy_rule(one, value) for one in value.rules],
        created_at=value.created_at,
        revision=revision,
        conditions=conditions,
    )


def share(value: SubnetShare, revision: int, conditions: Conditions) -> sharing_pb2.SubnetShare:
    return sharing_pb2.SubnetShare(
        id=value.id,
        org_id=value.owner.org,
        project_id=value.owner.project,
        subnet_id=f"{value.owner}/{value.subnet}",
        to=str(value.to),
        created_at=value.created_at,
        revision=revision,
        conditions=conditions,
    )


def policy_rule(value: PolicyRule, policy: NetworkPolicy) -> policy_pb2.PolicyRule:
    message = policy_pb2.PolicyRule(
        action=_POLICY_ACTIONS[value.action],
        protocol=_PROTOCOLS[value.protocol],
        port_range=pb.PortRange(min=value.ports.min, max=value.ports.max) if value.ports else None,
    )
    match value.peer:
        case GroupRef(name):
            message.security_group = f"{policy.owner}/{name}"
        case SubnetRef(name):
            message.subnet = f"{policy.owner}/{name}"
        case network:
            message.cidr = str(network)
    return message


def _texts(addresses: Iterable[Address]) -> list[str]:
    return [str(one) for one in addresses]
