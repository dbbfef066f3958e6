"""From a project to what somebody would have written down for it: everything, also what the server chose."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.declare.grammar import API_VERSION, KIND
from weftwork.declare.project import (
    DEFAULT,
    GroupSpec,
    Inner,
    Outer,
    PolicySpec,
    PortSpec,
    ProjectSpec,
    SnatSpec,
    SubnetSpec,
    TestSpec,
    VpcSpec,
)
from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.port import AttachmentKind, Port
from weftwork.model.reach_test import End, PortRef, ReachTest, end_text, service_text
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup

WIDTH = 120
NO_SNAT = "none"
SCHEMA = "/v1/schemas/project.json"
_ANY = "0.0.0.0/0"


def spec_of(intent: ProjectIntent) -> ProjectSpec:
    """Ports without a name are nobody's to write down, and are left out."""
    vpc = intent.vpc
    of_vms = {one.group for one in intent.vms.values()}
    return ProjectSpec(
        vpc=VpcSpec(vpc.name, vpc.cidr) if vpc else None,
        subnets={
            one.name: SubnetSpec(
                cidr=one.cidr,
                dhcp=one.dhcp_enabled,
                dns_servers=one.dns_servers,
                domain=one.domain_name,
                ntp_servers=one.ntp_servers,
                lease_time_s=one.lease_time_s,
                shared_with=frozenset(share.to for share in intent.shares.values() if share.subnet == one.name),
            )
            for one in _by_name(intent.subnets)
        },
        security_groups={one.name: group_spec(one) for one in _by_name(intent.groups) if one.name not in of_vms},
        ports={one.name: port_spec(one) for one in sorted(intent.ports.values(), key=lambda one: one.name) if one.name},
        snat={"": SnatSpec(intent.snat.external_ip, intent.snat.enabled)} if intent.snat else {},
        dnats={outer_of(one): inner_of(intent, one) for one in _by_name(intent.dnats)},
        peerings={one.name: one.peer for one in sorted(intent.peerings.values(), key=lambda one: one.name)},
        network_policies={one.name: policy_spec(one) for one in _by_name(intent.policies)},
        reach_tests={one.name: test_spec(intent, one) for one in _by_name(intent.reach_tests)},
    )


def group_spec(group: SecurityGroup) -> GroupSpec:
    return GroupSpec(group.description, group.ingress, group.egress)


def port_spec(port: Port) -> PortSpec:
    is_vms = port.attachment is not None and port.attachment.kind is AttachmentKind.TAP
    return PortSpec(
        subnet=f"{port.lender}/{port.subnet}" if port.lender else port.subnet,
        address=port.addresses[0] if port.addresses else None,
        mac=port.mac,
        groups=port.groups,
        vm=port.vm if is_vms and port.vm else None,
    )


def outer_of(dnat: Dnat) -> Outer:
    return Outer(dnat.external_ip, dnat.external_port, dnat.protocol)


def inner_of(intent: ProjectIntent, dnat: Dnat) -> Inner:
    """By the name of the port that has the address in the project's own VPC."""
    there = (one for one in intent.ports.values() if dnat.internal_ip in one.addresses and not one.lender)
    port = next(there, None)
    return Inner(port.name if port and port.name else dnat.internal_ip, dnat.internal_port)


def policy_spec(policy: NetworkPolicy) -> PolicySpec:
    return PolicySpec(policy.kind, policy.priority, policy.subnet, policy.rules)


def test_spec(intent: ProjectIntent, test: ReachTest) -> TestSpec:
    source, destination = (_named(intent, end) for end in test.ends)
    return TestSpec(test.must, source, destination, test.protocol, test.ports)


test_spec.__test__ = False  # type: ignore[attr-defined]


def text_of(owner: ProjectKey, spec: ProjectSpec, *, remarks: Iterable[str] = ()) -> str:
    """A file that says it all: a section that is empty stands there empty."""
    data: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND, "project": str(owner)}
    if spec.vpc is not None:
        data["vpc"] = _said(name=spec.vpc.name, cidr=spec.vpc.cidr)
    sections = {
        "subnets": _each(spec.subnets, _subnet),
        "security_groups": _each(spec.security_groups, _group),
        "ports": _each(spec.ports, _port),
        "snat": None if spec.snat is None else (_each(spec.snat, _snat) or {"": NO_SNAT})[""],
        "dnats": _each(spec.dnats, str),
        "peerings": _each(spec.peerings, str),
        "network_policies": _each(spec.network_policies, _policy),
        "reach_tests": _each(spec.reach_tests, _test),
    }
    data |= {name: section for name, section in sections.items() if section is not None}
    lines = "".join(f"# {one}\n" for one in remarks)
    return lines + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=WIDTH)


def rule_text(rule: Rule, word: str) -> str:
    return f"{_service(rule.protocol, rule.ports)} {word} {_peer(rule.peer)}"


def policy_rule_text(rule: PolicyRule, word: str) -> str:
    return f"{rule.action.value} {_service(rule.protocol, rule.ports)} {word} {_peer(rule.peer)}"


def _service(protocol: Protocol, ports: PortRange | None) -> str:
    if ports is None:
        return protocol.value
    return f"{protocol.value} {ports.min}" + ("" if ports.min == ports.max else f"-{ports.max}")


def _peer(peer: Cidr | GroupRef | SubnetRef) -> str:
    match peer:
        case GroupRef():
            return f"group {peer}"
        case SubnetRef(name):
            return f"subnet {name}"
        case _:
            return "any" if str(peer) == _ANY else str(peer)


def _subnet(spec: SubnetSpec) -> dict[str, Any]:
    return _said(
        cidr=spec.cidr,
        dhcp=None if spec.dhcp else False,
        dns_servers=spec.dns_servers,
        domain=spec.domain,
        ntp_servers=spec.ntp_servers,
        lease_time_s=None if spec.lease_time_s == SubnetSpec().lease_time_s else spec.lease_time_s,
        shared_with=sorted(spec.shared_with),
    )


def _group(spec: GroupSpec) -> dict[str, Any]:
    return _said(
        description=spec.description,
        ingress=[rule_text(one, "from") for one in spec.ingress],
        egress=[rule_text(one, "to") for one in spec.egress],
    )


def _port(spec: PortSpec) -> dict[str, Any]:
    said = _said(subnet="" if spec.subnet == DEFAULT else spec.subnet, address=spec.address, mac=spec.mac)
    if spec.groups != (DEFAULT,):
        said["groups"] = list(spec.groups)
    return said if spec.vm is None else said | {"vm": spec.vm}


def _snat(spec: SnatSpec) -> dict[str, Any]:
    return _said(external=spec.external, enabled=None if spec.enabled else False)


_POLICY_WORDS = {PolicyKind.INGRESS: "from", PolicyKind.EGRESS: "to", PolicyKind.ISOLATION: "with"}


def _policy(spec: PolicySpec) -> dict[str, Any]:
    word = _POLICY_WORDS[spec.kind]
    rules = [policy_rule_text(one, word) for one in spec.rules]
    return _said(kind=spec.kind.value, priority=spec.priority, subnet=spec.subnet, rules=rules)


def _test(spec: TestSpec) -> dict[str, Any]:
    return {
        "source": end_text(spec.source),
        "must": spec.must.value,
        "destination": end_text(spec.destination),
        "service": service_text(spec.protocol, spec.ports),
    }


def _each(section: Mapping[Any, Any] | None, told: Any) -> dict[str, Any] | None:
    return None if section is None else {str(name): told(one) for name, one in section.items()}


def _said(**fields: Any) -> dict[str, Any]:
    """What is not left out, as words."""
    return {name: _word(value) for name, value in fields.items() if value is not None and value not in ("", (), [])}


def _word(value: Any) -> Any:
    if isinstance(value, list | tuple) and not isinstance(value, ProjectKey):
        return [_word(one) for one in value]
    return value if isinstance(value, bool | int) else str(value)


def _by_name(shelf: Mapping[str, Any]) -> list[Any]:
    return [shelf[name] for name in sorted(shelf)]


def _named(intent: ProjectIntent, end: End) -> End:
    port = intent.ports.get(end.id) if isinstance(end, PortRef) else None
    return PortRef(port.name) if port and port.name else end


def address_of(intent: ProjectIntent, inner: Inner) -> Address | None:
    """Where a DNAT would lead; None while no such port is there."""
    if not isinstance(inner.host, str):
        return inner.host
    found = (one for one in intent.ports.values() if one.name == inner.host and not one.lender)
    return next((address for one in found for address in one.addresses), None)
