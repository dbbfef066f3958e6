"""Messages to values. Every string is parsed here, exactly once; what comes out can be trusted to be well-formed.

Each function takes the text and the name of the field it came from, and raises Refusal (INVALID) with
`details["field"]`. Whether a thing exists or a range is free is for the actions to say, and so are the words that
they check themselves: descriptions, domains, names of VMs, namespaces and interfaces.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Protocol as Shape
from typing import TypedDict, TypeVar

from weftwork.base import codes
from weftwork.base.addresses import Address, Cidr, Mac, parse_mac
from weftwork.base.codes import Code
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import NAME, ProjectKey
from weftwork.model.keys import Kind, ThingKey
from weftwork.model.network_policy import Action, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2 as policy_pb2
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft

T = TypeVar("T")
R = TypeVar("R")

DEFAULT = "default"
"""The subnet and the security group that every VPC is created with."""
DEFAULT_INTERFACE = "eth0"
DEFAULT_LEASE_TIME_S = 86400
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
WAIT_S_DEFAULT = 60.0
WAIT_S_MAX = 3600.0

TOKEN_MAX = 1024
LIST_MAX = 1000
QUOTED_MAX = 64
PORT_MAX = 65535

_DNAT_NAME = re.compile(r"([0-9a-f.:]{2,45}):([0-9]{1,5}):(tcp|udp)")

_PROTOCOLS: dict[int, Protocol] = {
    pb.PROTOCOL_TCP: Protocol.TCP,
    pb.PROTOCOL_UDP: Protocol.UDP,
    pb.PROTOCOL_ICMP: Protocol.ICMP,
    pb.PROTOCOL_ALL: Protocol.ALL,
}
_KINDS: dict[str, Kind] = {
    kind: kind
    for kind in (
        *("vpc", "subnet", "port", "security-group", "snat", "dnat", "peering", "network-policy", "reach-test"),
        *("subnet-share", "vm", "ssh-key"),
    )
}
_POLICY_KINDS: dict[int, PolicyKind] = {
    policy_pb2.NetworkPolicy.KIND_INGRESS: PolicyKind.INGRESS,
    policy_pb2.NetworkPolicy.KIND_EGRESS: PolicyKind.EGRESS,
    policy_pb2.NetworkPolicy.KIND_ISOLATION: PolicyKind.ISOLATION,
}
_ACTIONS: dict[int, Action] = {
    policy_pb2.PolicyRule.ACTION_ALLOW: Action.ALLOW,
    policy_pb2.PolicyRule.ACTION_DENY: Action.DENY,
}
CONDITION_TYPES = ("Accepted", "Programmed", "Peered", "Running")
_NAMELESS = ("vpc", "snat")


class _OfProject(Shape):
    @property
    def org_id(self) -> str: ...
    @property
    def project_id(self) -> str: ...


# --- who and which ------------------------------------------------------------------------------------------------


def owner(message: _OfProject) -> ProjectKey:
    return _owner(message.org_id, message.project_id)


@lru_cache(maxsize=4096)
def _owner(org: str, project: str) -> ProjectKey:
    """Every call says it, and is asked for it by the guard and by what it calls."""
    return ProjectKey(name(org, "org_id"), name(project, "project_id"))


def vpc_owner(org_id: str, project_id: str, vpc_id: str) -> ProjectKey:
    """The project; `vpc_id` may be left out, because a project has one VPC, but it must not be another's."""
    key = ProjectKey(name(org_id, "org_id"), name(project_id, "project_id"))
    if vpc_id and vpc_id != str(key):
        raise refusal(
            codes.VPC_NOT_FOUND, "vpc_id", f"project {key} has no VPC {quoted(vpc_id)}; its VPC's id is {key}"
        )
    return key


def project(text: str, field: str) -> ProjectKey:
    """`acme/web`."""
    org, slash, rest = required(text, field).partition("/")
    if not slash:
        raise refusal(codes.INVALID_NAME, field, f"{quoted(text)} is not ORG/PROJECT")
    return ProjectKey(name(org, field), name(rest, field))


def peering(text: str, field: str) -> str:
    """What a person types for a peering: its name, its full id, or its peer `{org}/{project}`."""
    return str(project(text, field)) if text.count("/") == 1 else reference(text, field)


def name(text: str, field: str) -> str:
    """An RFC 1123 label."""
    if not NAME.fullmatch(required(text, field)):
        raise refusal(codes.INVALID_NAME, field, f"{quoted(text)} is not a name")
    return text


def optional_name(text: str, field: str) -> str:
    return name(text, field) if text else ""


def reference(text: str, field: str, default: str = "") -> str:
    """What a person types for a thing: its name, its UUID (in either case), or its full id `{org}/{project}/{name}`."""
    parts = required(text or default, field).split("/")
    if len(parts) not in (1, 3) or not all(NAME.fullmatch(part.lower()) for part in parts):
        raise refusal(codes.INVALID_NAME, field, f"{quoted(text)} is neither a name nor an id")
    return text or default


def references(texts: Sequence[str], field: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    return each(reference, texts, field) or default


# --- addresses ----------------------------------------------------------------------------------------------------


def cidr(text: str, field: str) -> Cidr:
    """`10.1.0.0/16`: an address, a slash, a prefix length, and no host bits."""
    try:
        if not _plain(required(text, field)) or not text.rpartition("/")[2].isdigit():
            raise ValueError("it is not ADDRESS/PREFIX")
        return ip_network(text)
    except ValueError as error:
        why = "it has host bits set" if "host bits" in str(error) else "it is not ADDRESS/PREFIX"
        raise refusal(codes.INVALID_CIDR, field, f"{quoted(text)} is not a CIDR: {why}") from None


def optional_cidr(text: str, field: str) -> Cidr | None:
    return cidr(text, field) if text else None


def address(text: str, field: str) -> Address:
    try:
        if not _plain(required(text, field)):
            raise ValueError(text)
        return ip_address(text)
    except ValueError:
        raise refusal(codes.INVALID_IP, field, f"{quoted(text)} is not an IP address") from None


def optional_address(text: str, field: str) -> Address | None:
    return address(text, field) if text else None


def addresses(texts: Sequence[str], field: str) -> tuple[Address, ...]:
    return each(address, texts, field)


def optional_mac(text: str, field: str) -> Mac | None:
    if not text:
        return None
    try:
        return parse_mac(text)
    except ValueError:
        raise refusal(codes.INVALID_MAC, field, f"{quoted(text)} is not a unicast MAC address") from None


def _plain(text: str) -> bool:
    """No zone (`%eth0`), which Python's ipaddress would take, and nothing long."""
    return len(text) <= QUOTED_MAX and "%" not in text


# --- security group rules -----------------------------------------------------------------------------------------


def rules(messages: Iterable[pb.SecurityRule], field: str, project: ProjectKey) -> tuple[Rule, ...]:
    return each(lambda message, at: _rule(message, at, project), tuple(messages), field)


def _rule(message: pb.SecurityRule, field: str, project: ProjectKey) -> Rule:
    return Rule(
        protocol(message.protocol, f"{field}.protocol"),
        _port_range(message.port_range, f"{field}.port_range") if message.HasField("port_range") else None,
        _peer(message, field, project),
    )


def _peer(message: pb.SecurityRule, field: str, project: ProjectKey) -> Cidr | GroupRef:
    """The source; of an egress rule it is the destination."""
    at = f"{field}.source"
    match message.source_type:
        case pb.SOURCE_TYPE_CIDR:
            return cidr(message.source, at)
        case pb.SOURCE_TYPE_SECURITY_GROUP:
            return _group_of(message.source, at, project)
    raise refusal(codes.INVALID_SOURCE, f"{field}.source_type", "the source type says neither CIDR nor security group")


def _group_of(text: str, field: str, own: ProjectKey) -> GroupRef:
    """A group of the same project by name or id; a peer's by id."""
    whose, _, group = reference(text, field).rpartition("/")
    return GroupRef(group, project(whose, field) if whose and whose != str(own) else None)


def policy_rules(messages: Iterable[policy_pb2.PolicyRule], field: str, project: ProjectKey) -> tuple[PolicyRule, ...]:
    return each(lambda message, at: _policy_rule(message, at, project), tuple(messages), field)


def policy_kind(number: int, field: str) -> PolicyKind:
    known = _POLICY_KINDS.get(number)
    if known is None:
        raise refusal(codes.INVALID_POLICY_KIND, field, "it is none of ingress, egress and isolation")
    return known


def _policy_rule(message: policy_pb2.PolicyRule, field: str, project: ProjectKey) -> PolicyRule:
    action = _ACTIONS.get(message.action)
    if action is None:
        raise refusal(codes.INVALID_ACTION, f"{field}.action", "it is neither allow nor deny")
    return PolicyRule(
        action,
        protocol(message.protocol, f"{field}.protocol"),
        _port_range(message.port_range, f"{field}.port_range") if message.HasField("port_range") else None,
        _policy_peer(message, field, project),
    )


def _policy_peer(message: policy_pb2.PolicyRule, field: str, project: ProjectKey) -> Cidr | GroupRef | SubnetRef:
    match message.WhichOneof("peer"):
        case "cidr":
            return cidr(message.cidr, f"{field}.cidr")
        case "security_group":
            return _group_of(message.security_group, f"{field}.security_group", project)
        case "subnet":
            return SubnetRef(reference(message.subnet, f"{field}.subnet"))
    raise refusal(
        codes.INVALID_SOURCE, f"{field}.peer", "the peer is neither a CIDR, nor a security group, nor a subnet"
    )


def protocol(number: int, field: str) -> Protocol:
    known = _PROTOCOLS.get(number)
    if known is None:
        said = "no protocol is given" if number == pb.PROTOCOL_UNSPECIFIED else f"{number} is not a protocol we know"
        raise refusal(codes.INVALID_PROTOCOL, field, said)
    return known


def _port_range(message: pb.PortRange, field: str) -> PortRange:
    if not message.min <= message.max <= PORT_MAX:
        raise refusal(codes.INVALID_PORT_RANGE, field, f"{message.min}-{message.max} is not a range of ports")
    return PortRange(message.min, message.max)


def transport_port(number: int, field: str) -> int:
    """1-65535, as NAT needs it."""
    if not 1 <= number <= PORT_MAX:
        raise refusal(codes.INVALID_PORT_RANGE, field, f"{number} is not a port from 1 to {PORT_MAX}")
    return number


# --- lists, pages, conditions ------------------------------------------------------------------------------


def label(value: str, field: str) -> str:
    """A short text that names something of the operator's; may be empty."""
    if len(value) > QUOTED_MAX or not value.isprintable():
        raise refusal(codes.INVALID_ARGUMENT, field, f"{quoted(value)} cannot be a name")
    return value


def required(value: str, field: str) -> str:
    if not value:
        raise refusal(codes.MISSING_FIELD, field, f"{field} is empty")
    return value


def each(parse: Callable[[T, str], R], items: Sequence[T], field: str) -> tuple[R, ...]:
    if len(items) > LIST_MAX:
        raise refusal(codes.FIELD_TOO_LONG, field, f"the list has {len(items)} entries, at most {LIST_MAX} are allowed")
    return tuple(parse(item, f"{field}[{index}]") for index, item in enumerate(items))


class _Paged(Shape):
    @property
    def page_size(self) -> int: ...
    @property
    def page_token(self) -> str: ...


class Paging(TypedDict):
    page_size: int
    page_token: str


def page(message: _Paged) -> Paging:
    return {"page_size": page_size(message.page_size), "page_token": page_token(message.page_token)}


def page_size(number: int) -> int:
    """What is above the limit is brought down to it."""
    return min(number, PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT


def page_token(value: str) -> str:
    if len(value) > TOKEN_MAX or not value.isascii() or not value.isprintable():
        raise refusal(codes.INVALID_PAGE_TOKEN, "page_token", "the page token is not one of ours")
    return value


def update_paths(paths: Sequence[str], allowed: frozenset[str]) -> frozenset[str]:
    """The fields to replace; all when none is named."""
    for index, path in enumerate(paths):
        if path not in allowed:
            known = ", ".join(sorted(allowed))
            raise refusal(
                codes.INVALID_ARGUMENT,
                f"update_mask.paths[{index}]",
                f"{quoted(path)} cannot be updated",
                hint=f"Name some of {known}.",
            )
    return frozenset(paths) or allowed


def kind(text: str, field: str) -> Kind:
    known = _KINDS.get(required(text, field))
    if known is None:
        raise refusal(
            codes.INVALID_ARGUMENT, field, f"{quoted(text)} is not a kind", hint=f"Use one of {', '.join(_KINDS)}."
        )
    return known


def resource(message: weft.ResourceRef, field: str) -> ThingKey:
    """The name is what the caller typed, not yet looked up; a DNAT's has canonical addresses."""
    project = ProjectKey(name(message.org_id, f"{field}.org_id"), name(message.project_id, f"{field}.project_id"))
    which = kind(message.kind, f"{field}.kind")
    return ThingKey(which, project, thing_name(which, message.id, f"{field}.id", project))


def thing_name(which: Kind, text: str, field: str, project: ProjectKey) -> str:
    if which in _NAMELESS:
        if text and text != str(project):
            raise refusal(codes.INVALID_ARGUMENT, field, f"a {which} has no name: a project has one")
        return ""
    if which == "subnet-share":
        return _share_name(text, field)
    if which == "peering":
        return peering(text, field)
    if which == "dnat":
        return _dnat_name(text, field)
    return reference(text, field)


def _share_name(text: str, field: str) -> str:
    """`{subnet}/{org}/{project}`"""
    subnet, _, to = required(text, field).partition("/")
    return f"{name(subnet, field)}/{project(to, field)}"


def _dnat_name(text: str, field: str) -> str:
    match = _DNAT_NAME.fullmatch(required(text, field))
    if match is None:
        raise refusal(codes.INVALID_ARGUMENT, field, f"{quoted(text)} is not ADDRESS:PORT:tcp or ADDRESS:PORT:udp")
    return f"{address(match[1], field)}:{transport_port(int(match[2]), field)}:{match[3]}"


def condition_type(text: str, field: str) -> str:
    if text and text not in CONDITION_TYPES:
        hint = f"Use one of {', '.join(CONDITION_TYPES)}."
        raise refusal(codes.INVALID_ARGUMENT, field, f"{quoted(text)} is not a condition", hint=hint)
    return text or "Programmed"


def wait_s(seconds: float, field: str) -> float:
    if not (math.isfinite(seconds) and 0 <= seconds <= WAIT_S_MAX):
        raise refusal(codes.INVALID_ARGUMENT, field, f"{seconds} is not from 0 to {WAIT_S_MAX:.0f} seconds")
    return seconds or WAIT_S_DEFAULT


# --- how we refuse ------------------------------------------------------------------------------------------------


def refusal(code: Code, field: str, message: str, *, hint: str = "") -> Refusal:
    return code.refusal(f"{field}: {message}" if not message.startswith(field) else message, hint=hint, field=field)


def quoted(text: str) -> str:
    """As a message may show it: short, and without anything a terminal would act on."""
    return repr(text if len(text) <= QUOTED_MAX else f"{text[:QUOTED_MAX]}…")
