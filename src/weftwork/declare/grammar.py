"""The definition of a project file: its fields, what each may hold, and what that means."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from weftwork.base.addresses import Address, Cidr, parse_mac
from weftwork.base.tenancy import NAME, ProjectKey
from weftwork.declare.policy_rules import PolicyRuleText, parse_policy_rules
from weftwork.declare.project import (
    DEFAULT,
    LEASE_TIME_S,
    GroupSpec,
    Inner,
    Outer,
    PolicySpec,
    PortSpec,
    SnatSpec,
    SubnetSpec,
    TestSpec,
    VpcSpec,
)
from weftwork.declare.rules import Direction, RuleText, parse_rules
from weftwork.declare.shapes import Flag, ListOf, Named, Number, OneOf, OneOrNone, Part, Record, Text
from weftwork.model.network_policy import Action, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.reach_test import Must, parse_end, parse_service
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule

API_VERSION = "weftwork/v1"
KIND = "Project"

_LABEL = NAME.pattern
_ADDRESS = r"[0-9a-fA-F.:]+"
_PEER = r"(group |subnet )?\S+"
_PROTOCOL = r"(tcp|udp|icmp|all)( [0-9,-]+)?"


def project_key(text: str) -> ProjectKey:
    org, slash, project = text.partition("/")
    if not (slash and NAME.fullmatch(org) and NAME.fullmatch(project)):
        raise ValueError(f"{text[:80]!r} is no project such as acme/shop")
    return ProjectKey(org, project)


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a name of a-z, 0-9 and -, at most 63, neither first nor last a -")
    return text


def _reference(text: str) -> str:
    """A name of this project, or the full id of what another one lends."""
    parts = text.split("/")
    if len(parts) not in (1, 3) or not all(NAME.fullmatch(part) for part in parts):
        raise ValueError(f"{text[:80]!r} is neither a name nor ORG/PROJECT/NAME")
    return text


def _cidr(text: str) -> Cidr:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is no range such as 10.1.0.0/16: {error}") from None


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no address such as 10.1.0.5") from None


def _ingress(text: str) -> tuple[Rule, ...]:
    return tuple(_rule(one) for one in parse_rules(text, "ingress"))


def _egress(text: str) -> tuple[Rule, ...]:
    return tuple(_rule(one) for one in parse_rules(text, "egress"))


def _rule(text: RuleText) -> Rule:
    peer = _group(text.peer.text) if text.peer.is_group else ip_network(text.peer.text)
    return Rule(Protocol(text.protocol), _range(text), peer)


def _policy_rules(text: str) -> tuple[PolicyRule, ...]:
    return tuple(_policy_rule(one) for one in parse_policy_rules(text))


def _policy_rule(text: PolicyRuleText) -> PolicyRule:
    match text.peer_kind:
        case "cidr":
            peer: Cidr | GroupRef | SubnetRef = ip_network(text.peer)
        case "security_group":
            peer = _group(text.peer)
        case "subnet":
            peer = SubnetRef(_name(text.peer))
    return PolicyRule(Action(text.action), Protocol(text.protocol), _range(text), peer)


def _range(text: RuleText | PolicyRuleText) -> PortRange | None:
    return PortRange(text.ports.min, text.ports.max) if text.ports else None


def _group(text: str) -> GroupRef:
    *owner, name = _reference(text).split("/")
    return GroupRef(name, ProjectKey(*owner) if owner else None)


def _outer(text: str) -> Outer:
    address, colon, service = text.rpartition(":")
    protocol, ports = parse_service("/".join(reversed(service.split("/"))))
    if ports is None or ports.min != ports.max or protocol not in (Protocol.TCP, Protocol.UDP):
        raise ValueError(f"{text[:80]!r} is no place such as 203.0.113.5:443/tcp or 443/tcp")
    return Outer(_address(address) if colon else None, _port(str(ports.min)), protocol)


def _inner(text: str) -> Inner:
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text[:80]!r} is no place such as web1:8443 or 10.1.0.5:8443")
    return Inner(host if NAME.fullmatch(host) else _address(host), _port(port))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{text[:80]!r} is no port from 1 to 65535")
    return int(text)


def _test(**said: Any) -> TestSpec:
    protocol, ports = said["service"]
    return TestSpec(Must(said["must"]), said["source"], said["destination"], protocol, ports)


def _policy(**said: Any) -> PolicySpec:
    return PolicySpec(PolicyKind(said["kind"]), said["priority"], said["subnet"], said["rules"])


def _subnet(**said: Any) -> SubnetSpec:
    return SubnetSpec(**said | {"shared_with": frozenset(said["shared_with"])})


def _port_spec(**said: Any) -> PortSpec:
    """Groups are a set: sorted, as the server keeps them."""
    return PortSpec(**said | {"groups": tuple(sorted(set(said["groups"])))})


def _rule_text(parse: Callable[[str], Any], direction: Direction) -> Text:
    word = {"ingress": "from", "egress": "to"}[direction]
    pattern = rf"{_PROTOCOL}( {word} {_PEER})?"
    return Text("a rule", parse, pattern, (f"tcp 80,443 {word} any", f"all {word} group web"))


NAME_TEXT = Text("a name", _name, _LABEL)
PROJECT_TEXT = Text("a project", project_key, f"{_LABEL}/{_LABEL}", ("acme/shop",))
_CIDR_TEXT = Text("a range", _cidr, rf"{_ADDRESS}/[0-9]+", ("10.1.0.0/16",))
_ADDRESS_TEXT = Text("an address", _address, _ADDRESS, ("10.1.0.5",))
_REFERENCE_TEXT = Text("a name, or ORG/PROJECT/NAME", _reference, f"({_LABEL}/{_LABEL}/)?{_LABEL}")
_END_TEXT = Text("an end", parse_end, examples=("group:web", "port:web1", "subnet:data", "10.1.0.0/24", "internet"))

VPC = Record(
    "a VPC",
    {
        "name": Part(NAME_TEXT, "Its name; without one, the project's."),
        "cidr": Part(_CIDR_TEXT, "Its range; without one, a free one of the server's pool."),
    },
    VpcSpec,
)
SUBNET = Record(
    "a subnet",
    {
        "cidr": Part(_CIDR_TEXT, "Its range; without one, a free one of the VPC's."),
        "dhcp": Part(Flag(), "Whether guests get their address by DHCP. [true]", True),
        "dns_servers": Part(ListOf(_ADDRESS_TEXT), "What DHCP tells. [none]", ()),
        "domain": Part(Text("a domain"), "What DHCP tells. [none]", ""),
        "ntp_servers": Part(ListOf(_ADDRESS_TEXT), "What DHCP tells. [none]", ()),
        "lease_time_s": Part(
            Number("a lease in seconds", 60, 31_536_000), "How long DHCP lends an address. [86400]", LEASE_TIME_S
        ),
        "shared_with": Part(ListOf(PROJECT_TEXT), "Projects that may have ports in it. [none]", ()),
    },
    _subnet,
)
GROUP = Record(
    "a security group",
    {
        "description": Part(Text("a text"), "What it is for. [none]", ""),
        "ingress": Part(
            ListOf(_rule_text(_ingress, "ingress"), flatten=True), "Who may reach its members. [nobody]", ()
        ),
        "egress": Part(ListOf(_rule_text(_egress, "egress"), flatten=True), "Whom its members may reach. [nobody]", ()),
    },
    GroupSpec,
)
PORT = Record(
    "a port",
    {
        "subnet": Part(
            _REFERENCE_TEXT, "Where it is: a subnet's name, or the full id of a shared one. [default]", DEFAULT
        ),
        "address": Part(_ADDRESS_TEXT, "Its address; without one, a free one."),
        "mac": Part(
            Text("a MAC", parse_mac, r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", ("02:57:00:00:00:01",)),
            "Its MAC; without one, a free one.",
        ),
        "groups": Part(ListOf(NAME_TEXT), "Its security groups. [default]", (DEFAULT,)),
        "vm": Part(Text("a VM"), "The VM that has it, '' for none; without it, whoever attached it keeps it."),
    },
    _port_spec,
)
SNAT = Record(
    "an SNAT",
    {
        "external": Part(_ADDRESS_TEXT, "Its external address; without one, a free one."),
        "enabled": Part(Flag(), "Whether guests reach the outside by it. [true]", True),
    },
    SnatSpec,
)
POLICY = Record(
    "a network policy",
    {
        "kind": Part(OneOf(tuple(one.value for one in PolicyKind)), "What it judges.", needed=True),
        "priority": Part(Number("a priority", 1, 65535), "The lowest is asked first.", needed=True),
        "subnet": Part(NAME_TEXT, "The subnet it is about; without one, the whole project.", ""),
        "rules": Part(
            ListOf(
                Text(
                    "a rule of a policy",
                    _policy_rules,
                    rf"(allow|deny) {_PROTOCOL}( (from|to|with) {_PEER})?",
                    ("deny tcp 22 from any", "allow all to subnet data"),
                ),
                flatten=True,
            ),
            "In their order: the first that matches decides. [none]",
            (),
        ),
    },
    _policy,
)
TEST = Record(
    "a reach test",
    {
        "source": Part(_END_TEXT, "port:NAME, group:NAME, subnet:NAME, an address, a CIDR or internet.", needed=True),
        "must": Part(OneOf(tuple(one.value for one in Must)), "Reach, or not. [reach]", "reach"),
        "destination": Part(_END_TEXT, "As the source.", needed=True),
        "service": Part(
            Text("a service", parse_service, r"(tcp|udp|icmp|all)(/[0-9]+(-[0-9]+)?)?", ("tcp/443", "icmp", "all")),
            "As the packets arrive; behind a DNAT, the guest's own port.",
            needed=True,
        ),
    },
    _test,
)
PROJECT = Record(
    "a project",
    {
        "apiVersion": Part(OneOf((API_VERSION,)), "The version of this form.", needed=True),
        "kind": Part(OneOf((KIND,)), "What the document is.", needed=True),
        "project": Part(PROJECT_TEXT, "Whose it is; without it, the project of the command (-P)."),
        "vpc": Part(VPC, "Its VPC."),
        "subnets": Part(Named(NAME_TEXT, SUBNET), "Its subnets, by name."),
        "security_groups": Part(Named(NAME_TEXT, GROUP), "Its security groups, by name."),
        "ports": Part(Named(NAME_TEXT, PORT), "Its ports, by name."),
        "snat": Part(OneOrNone(SNAT), "How its guests reach the outside; `none` for not at all."),
        "dnats": Part(
            Named(
                Text(
                    "an external place", _outer, rf"({_ADDRESS}:)?[0-9]+/(tcp|udp)", ("203.0.113.5:443/tcp", "443/tcp")
                ),
                Text("a place inside", _inner, rf"({_LABEL}|{_ADDRESS}):[0-9]+", ("web1:8443", "10.1.0.5:8443")),
            ),
            "What the outside reaches, each by its external place; a port of the project may be named by its name.",
        ),
        "peerings": Part(Named(NAME_TEXT, PROJECT_TEXT), "Its halves of peerings, by name, and with whom."),
        "network_policies": Part(Named(NAME_TEXT, POLICY), "Its network policies, by name."),
        "reach_tests": Part(Named(NAME_TEXT, TEST), "Its reach tests, by name."),
    },
)
