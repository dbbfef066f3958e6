"""Things as the store holds them: JSON with the field names of N §5.1, so that a person can read the store.

Law: decode(key, encode(thing)) == thing. Who a thing belongs to is said by its key; the ids inside are for readers.
"""

from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from sys import intern
from typing import assert_never

import msgspec

from weftwork.actions import vm_rows
from weftwork.base.addresses import Address, Cidr, Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey, peer_in
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.peering import Peering
from weftwork.model.port import TAP, Attachment, AttachmentKind, Port
from weftwork.model.reach_test import Must, ReachTest, end_text, parse_end, parse_service, service_text
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.ssh_key import SshKey
from weftwork.model.subnet import Subnet
from weftwork.model.vm import Vm
from weftwork.model.vpc import FlowLog, Vpc


class _Row(msgspec.Struct, gc=False):
    """Unknown fields are skipped, so that an older server reads what a newer one wrote."""


class _VpcRow(_Row):
    id: str
    org_id: str
    project_id: str
    name: str
    cidr: str
    created_at: int
    updated_at: int
    vni: int
    flow_sample: int = 0
    flow_allowed: bool = False


class _SubnetRow(_Row, omit_defaults=True):
    id: str
    org_id: str
    project_id: str
    vpc_id: str
    name: str
    cidr: str
    gateway_ip: str
    dns_servers: list[str]
    dhcp_enabled: bool
    created_at: int
    vlan: int
    domain_name: str
    ntp_servers: list[str]
    lease_time: int
    vni: int = 0


class _AttachmentRow(_Row, omit_defaults=True):
    kind: str
    netns: str
    interface: str
    host: str = ""


class _PortRead(_Row):
    """Without what the key says already: the most numerous row, so what is read of it is what is needed."""

    id: str
    subnet_id: str
    vm_id: str | None
    mac_address: str
    ip_addresses: list[str]
    security_group_ids: list[str]
    created_at: int
    name: str
    attachment: _AttachmentRow | None


class _PortRow(_PortRead):
    org_id: str
    project_id: str


class _RuleRow(_Row):
    protocol: str
    port_range: tuple[int, int] | None
    source_type: str
    source: str


class _GroupRow(_Row):
    id: str
    org_id: str
    project_id: str
    name: str
    description: str
    ingress_rules: list[_RuleRow]
    egress_rules: list[_RuleRow]
    created_at: int


class _SnatRow(_Row):
    vpc_id: str
    external_ip: str
    enabled: bool
    created_at: int


class _DnatRow(_Row):
    vpc_id: str
    external_ip: str
    external_port: int
    internal_ip: str
    internal_port: int
    protocol: str
    created_at: int


class _PeeringRow(_Row):
    vpc_id: str
    name: str
    peer: str
    created_at: int


class _PolicyRuleRow(_Row):
    action: str
    protocol: str
    port_range: tuple[int, int] | None
    peer_type: str
    peer: str


class _PolicyRow(_Row):
    id: str
    org_id: str
    project_id: str
    name: str
    kind: str
    subnet_id: str | None
    priority: int
    rules: list[_PolicyRuleRow]
    created_at: int


class _ReachTestRow(_Row):
    id: str
    org_id: str
    project_id: str
    name: str
    must: str
    source: str
    destination: str
    service: str
    created_at: int


class _ShareRow(_Row):
    subnet_id: str
    to: str
    created_at: int


_encode = msgspec.json.Encoder().encode
_read_vpc = msgspec.json.Decoder(_VpcRow).decode
_read_subnet = msgspec.json.Decoder(_SubnetRow).decode
_read_port = msgspec.json.Decoder(_PortRead).decode
_read_group = msgspec.json.Decoder(_GroupRow).decode
_read_snat = msgspec.json.Decoder(_SnatRow).decode
_read_dnat = msgspec.json.Decoder(_DnatRow).decode
_read_share = msgspec.json.Decoder(_ShareRow).decode
_read_peering = msgspec.json.Decoder(_PeeringRow).decode
_read_policy = msgspec.json.Decoder(_PolicyRow).decode
_read_reach_test = msgspec.json.Decoder(_ReachTestRow).decode

_CIDR = "Cidr"
_SECURITY_GROUP = "SecurityGroup"
_SUBNET = "Subnet"


def key_of(thing: Thing) -> ThingKey:
    match thing:
        case Port():
            return ThingKey("port", thing.owner, thing.id)
        case Vpc():
            return ThingKey("vpc", thing.owner)
        case Subnet():
            return ThingKey("subnet", thing.owner, thing.name)
        case SecurityGroup():
            return ThingKey("security-group", thing.owner, thing.name)
        case Snat():
            return ThingKey("snat", thing.owner)
        case Dnat():
            return ThingKey("dnat", thing.owner, thing.name)
        case Peering():
            return ThingKey("peering", thing.owner, str(thing.peer))
        case NetworkPolicy():
            return ThingKey("network-policy", thing.owner, thing.name)
        case ReachTest():
            return ThingKey("reach-test", thing.owner, thing.name)
        case SubnetShare():
            return ThingKey("subnet-share", thing.owner, thing.name)
        case Vm():
            return ThingKey("vm", thing.owner, thing.name)
        case SshKey():
            return ThingKey("ssh-key", thing.owner, thing.name)
        case _:
            assert_never(thing)


def encode(thing: Thing) -> bytes:
    match thing:
        case Port():
            return _encode(_port_row(thing))
        case Vpc():
            return _encode(_vpc_row(thing))
        case Subnet():
            return _encode(_subnet_row(thing))
        case SecurityGroup():
            return _encode(_group_row(thing))
        case Snat():
            return _encode(_SnatRow(str(thing.owner), str(thing.external_ip), thing.enabled, thing.created_at))
        case Dnat():
            return _encode(_dnat_row(thing))
        case Peering():
            return _encode(_PeeringRow(str(thing.owner), thing.name, str(thing.peer), thing.created_at))
        case NetworkPolicy():
            return _encode(_policy_row(thing))
        case ReachTest():
            return _encode(_reach_test_row(thing))
        case SubnetShare():
            return _encode(_ShareRow(f"{thing.owner}/{thing.subnet}", str(thing.to), thing.created_at))
        case Vm():
            return vm_rows.encode_vm(thing)
        case SshKey():
            return vm_rows.encode_ssh_key(thing)
        case _:
            assert_never(thing)


def decode(key: ThingKey, value: bytes) -> Thing:
    """ValueError when the value is not what a store of ours holds under this key."""
    match key.kind:
        case "port":
            return _port(key.owner, _read_port(value))
        case "vpc":
            return _vpc(key.owner, _read_vpc(value))
        case "subnet":
            return _subnet(key.owner, _read_subnet(value))
        case "security-group":
            return _group(key.owner, _read_group(value))
        case "snat":
            row = _read_snat(value)
            return Snat(key.owner, ip_address(row.external_ip), row.enabled, row.created_at)
        case "dnat":
            return _dnat(key.owner, _read_dnat(value))
        case "subnet-share":
            share = _read_share(value)
            return SubnetShare(key.owner, _last(share.subnet_id), _project(share.to), share.created_at)
        case "vm":
            return vm_rows.decode_vm(key.owner, value)
        case "ssh-key":
            return vm_rows.decode_ssh_key(key.owner, value)
        case "peering":
            half = _read_peering(value)
            return Peering(key.owner, half.name, peer_in(key), half.created_at)
        case "network-policy":
            return _policy(key.owner, _read_policy(value))
        case "reach-test":
            return _reach_test(key.owner, _read_reach_test(value))
        case _:
            assert_never(key.kind)


def _vpc_row(vpc: Vpc) -> _VpcRow:
    org, project = vpc.owner
    flow_log = vpc.flow_log or FlowLog(sample=0)
    return _VpcRow(
        vpc.id,
        org,
        project,
        vpc.name,
        str(vpc.cidr),
        vpc.created_at,
        vpc.updated_at,
        vpc.vni,
        flow_log.sample,
        flow_log.allowed,
    )


def _vpc(owner: ProjectKey, row: _VpcRow) -> Vpc:
    flow_log = FlowLog(row.flow_sample, row.flow_allowed) if row.flow_sample else None
    return Vpc(owner, row.name, ip_network(row.cidr), row.vni, row.created_at, row.updated_at, flow_log)


def _subnet_row(subnet: Subnet) -> _SubnetRow:
    return _SubnetRow(
        id=subnet.id,
        org_id=subnet.owner.org,
        project_id=subnet.owner.project,
        vpc_id=str(subnet.owner),
        name=subnet.name,
        cidr=str(subnet.cidr),
        gateway_ip=str(subnet.gateway),
        dns_servers=[str(one) for one in subnet.dns_servers],
        dhcp_enabled=subnet.dhcp_enabled,
        created_at=subnet.created_at,
        vlan=subnet.vlan,
        domain_name=subnet.domain_name,
        ntp_servers=[str(one) for one in subnet.ntp_servers],
        lease_time=subnet.lease_time_s,
        vni=subnet.vni,
    )


def _subnet(owner: ProjectKey, row: _SubnetRow) -> Subnet:
    return Subnet(
        owner=owner,
        name=row.name,
        cidr=ip_network(row.cidr),
        gateway=ip_address(row.gateway_ip),
        vlan=row.vlan,
        dhcp_enabled=row.dhcp_enabled,
        dns_servers=tuple(ip_address(one) for one in row.dns_servers),
        domain_name=row.domain_name,
        ntp_servers=tuple(ip_address(one) for one in row.ntp_servers),
        lease_time_s=row.lease_time,
        created_at=row.created_at,
        vni=row.vni,
    )


def _port_row(port: Port) -> _PortRow:
    owner = str(port.owner)
    at = port.attachment
    return _PortRow(
        id=port.id,
        org_id=port.owner.org,
        project_id=port.owner.project,
        subnet_id=f"{port.home}/{port.subnet}",
        vm_id=port.vm or None,
        mac_address=port.mac,
        ip_addresses=[str(one) for one in port.addresses],
        security_group_ids=[f"{owner}/{one}" for one in port.groups],
        created_at=port.created_at,
        name=port.name,
        attachment=_AttachmentRow(at.kind.value, at.netns, at.interface, at.host) if at else None,
    )


def _port(owner: ProjectKey, row: _PortRead) -> Port:
    """What many ports have alike is one object in memory."""
    home, _, subnet = row.subnet_id.rpartition("/")
    return Port(
        owner=owner,
        id=row.id,
        name=row.name,
        subnet=intern(subnet),
        vm=row.vm_id or "",
        mac=Mac(row.mac_address),
        addresses=tuple(map(_address, row.ip_addresses)),
        groups=_groups(tuple(row.security_group_ids)),
        attachment=_attachment(row.attachment) if row.attachment else None,
        created_at=row.created_at,
        lender=None if home == str(owner) else _project(home),
    )


@lru_cache(maxsize=4096)
def _groups(full_ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(intern(_last(one)) for one in full_ids)


def _attachment(row: _AttachmentRow) -> Attachment:
    at = Attachment(AttachmentKind(row.kind), row.netns, row.interface, row.host)
    return TAP if at == TAP else at


def _group_row(group: SecurityGroup) -> _GroupRow:
    return _GroupRow(
        id=group.id,
        org_id=group.owner.org,
        project_id=group.owner.project,
        name=group.name,
        description=group.description,
        ingress_rules=[_rule_row(group.owner, rule) for rule in group.ingress],
        egress_rules=[_rule_row(group.owner, rule) for rule in group.egress],
        created_at=group.created_at,
    )


def _group(owner: ProjectKey, row: _GroupRow) -> SecurityGroup:
    return SecurityGroup(
        owner=owner,
        name=row.name,
        description=row.description,
        ingress=tuple(_rule(owner, one) for one in row.ingress_rules),
        egress=tuple(_rule(owner, one) for one in row.egress_rules),
        created_at=row.created_at,
    )


def _rule_row(owner: ProjectKey, rule: Rule) -> _RuleRow:
    ports = (rule.ports.min, rule.ports.max) if rule.ports else None
    if isinstance(rule.peer, GroupRef):
        return _RuleRow(
            rule.protocol.value, ports, _SECURITY_GROUP, str(replace(rule.peer, owner=rule.peer.owner or owner))
        )
    return _RuleRow(rule.protocol.value, ports, _CIDR, str(rule.peer))


def _rule(owner: ProjectKey, row: _RuleRow) -> Rule:
    peer = _group_ref(owner, row.source) if row.source_type == _SECURITY_GROUP else ip_network(row.source)
    return Rule(Protocol(row.protocol), PortRange(*row.port_range) if row.port_range else None, peer)


def _project(text: str) -> ProjectKey:
    org, project = text.split("/")
    return ProjectKey(org, project)


def _group_ref(owner: ProjectKey, full_id: str) -> GroupRef:
    org, project, name = full_id.split("/")
    whose = ProjectKey(org, project)
    return GroupRef(name, None if whose == owner else whose)


def _policy_row(policy: NetworkPolicy) -> _PolicyRow:
    return _PolicyRow(
        id=policy.id,
        org_id=policy.owner.org,
        project_id=policy.owner.project,
        name=policy.name,
        kind=policy.kind.value,
        subnet_id=f"{policy.owner}/{policy.subnet}" if policy.subnet else None,
        priority=policy.priority,
        rules=[_policy_rule_row(policy.owner, rule) for rule in policy.rules],
        created_at=policy.created_at,
    )


def _policy(owner: ProjectKey, row: _PolicyRow) -> NetworkPolicy:
    return NetworkPolicy(
        owner=owner,
        name=row.name,
        kind=PolicyKind(row.kind),
        subnet=_last(row.subnet_id or ""),
        priority=row.priority,
        rules=tuple(_policy_rule(owner, one) for one in row.rules),
        created_at=row.created_at,
    )


def _policy_rule_row(owner: ProjectKey, rule: PolicyRule) -> _PolicyRuleRow:
    ports = (rule.ports.min, rule.ports.max) if rule.ports else None
    match rule.peer:
        case GroupRef() as group:
            peer = (_SECURITY_GROUP, str(replace(group, owner=group.owner or owner)))
        case SubnetRef(name):
            peer = (_SUBNET, f"{owner}/{name}")
        case network:
            peer = (_CIDR, str(network))
    return _PolicyRuleRow(rule.action.value, rule.protocol.value, ports, *peer)


def _policy_rule(owner: ProjectKey, row: _PolicyRuleRow) -> PolicyRule:
    ports = PortRange(*row.port_range) if row.port_range else None
    peer: Cidr | GroupRef | SubnetRef
    match row.peer_type:
        case "SecurityGroup":
            peer = _group_ref(owner, row.peer)
        case "Subnet":
            peer = SubnetRef(_last(row.peer))
        case _:
            peer = ip_network(row.peer)
    return PolicyRule(Action(row.action), Protocol(row.protocol), ports, peer)


def _dnat_row(dnat: Dnat) -> _DnatRow:
    return _DnatRow(
        vpc_id=str(dnat.owner),
        external_ip=str(dnat.external_ip),
        external_port=dnat.external_port,
        internal_ip=str(dnat.internal_ip),
        internal_port=dnat.internal_port,
        protocol=dnat.protocol.value,
        created_at=dnat.created_at,
    )


def _dnat(owner: ProjectKey, row: _DnatRow) -> Dnat:
    return Dnat(
        owner=owner,
        external_ip=ip_address(row.external_ip),
        external_port=row.external_port,
        protocol=Protocol(row.protocol),
        internal_ip=ip_address(row.internal_ip),
        internal_port=row.internal_port,
        created_at=row.created_at,
    )


def _reach_test_row(test: ReachTest) -> _ReachTestRow:
    return _ReachTestRow(
        id=test.id,
        org_id=test.owner.org,
        project_id=test.owner.project,
        name=test.name,
        must=test.must.value,
        source=end_text(test.source),
        destination=end_text(test.destination),
        service=service_text(test.protocol, test.ports),
        created_at=test.created_at,
    )


def _reach_test(owner: ProjectKey, row: _ReachTestRow) -> ReachTest:
    return ReachTest(
        owner,
        row.name,
        Must(row.must),
        parse_end(row.source),
        parse_end(row.destination),
        *parse_service(row.service),
        created_at=row.created_at,
    )


def _address(text: str) -> Address:
    """As `ip_address`, which tries IPv4 first and IPv6 when that fails."""
    return IPv6Address(text) if ":" in text else IPv4Address(text)


def _last(full_id: str) -> str:
    return full_id.rpartition("/")[2]
