"""What each noun is called and which columns it has. The verbs are in the noun's own file."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weftwork.cli.document import Document
from weftwork.cli.endpoints import external_name
from weftwork.declare.policy_rules import WORDS, PeerKind, PolicyRuleText
from weftwork.declare.rules import Direction, Peer, PortSpan, RuleText


@dataclass(frozen=True, slots=True)
class Column:
    """`wide` columns stand in `-o wide` and in `show` only; `detail` ones in `show` only."""

    title: str
    text: Callable[[Document], str]
    wide: bool = False
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Noun:
    """`kind` is the API's word for it, `title` the JSON kind; `name` is what a person types to name one,
    `id` what the API calls it in a ResourceRef."""

    kind: str
    title: str
    plural: str
    name: Callable[[Document], str]
    id: Callable[[Document], str]
    columns: tuple[Column, ...]


def field(name: str) -> Callable[[Document], str]:
    """The text of one field; `-` when it is not set."""
    return lambda document: text_of(document[name])


def text_of(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    return str(value)


def condition(document: Document, type_: str) -> Document | None:
    return next((one for one in document["conditions"] if one["type"] == type_), None)


def programmed(document: Document) -> str:
    """`yes`, or why not."""
    found = condition(document, "Programmed")
    if found is None:
        return "-"
    return "yes" if found["status"] == "True" else found["reason"] or found["status"].lower()


def created(document: Document) -> str:
    return datetime.fromtimestamp(document["created_at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(document: Document, id_: str) -> str:
    """An id of the same project without the project."""
    return id_.removeprefix(f"{document['org_id']}/{document['project_id']}/")


def rule_text(rule: Document, direction: Direction, project: str = "") -> str:
    ports = rule["port_range"]
    peer = Peer(rule["source"].removeprefix(project), rule["source_type"] == "security-group")
    span = PortSpan(ports["min"], ports["max"]) if ports else None
    return str(RuleText(direction, rule["protocol"], span, peer))


def _rules(direction: Direction) -> Callable[[Document], str]:
    def text(document: Document) -> str:
        project = f"{document['org_id']}/{document['project_id']}/"
        rules = [rule_text(rule, direction, project) for rule in document[f"{direction}_rules"]]
        return "\n".join(rules) or "-"

    return text


def _policy_rule_text(rule: Document, word: str, project: str = "") -> str:
    """`word` stands before the peer: from, to or with."""
    kinds: tuple[PeerKind, ...] = ("cidr", "security_group", "subnet")
    kind = next(one for one in kinds if rule[one] is not None)
    ports = rule["port_range"]
    span = PortSpan(ports["min"], ports["max"]) if ports else None
    return PolicyRuleText(rule["action"], rule["protocol"], span, rule[kind].removeprefix(project), kind).told(word)


def _policy_rules(document: Document) -> str:
    word = WORDS.get(document["policy_kind"], "with")
    project = f"{document['org_id']}/{document['project_id']}/"
    return "\n".join(_policy_rule_text(rule, word, project) for rule in document["rules"]) or "-"


def _policy_target(document: Document) -> str:
    return f"subnet {short(document, document['subnet_id'])}" if document["subnet_id"] else "project"


def _project(document: Document) -> str:
    return f"{document['org_id']}/{document['project_id']}"


def _attached(document: Document) -> str:
    attachment = document["attachment"]
    if attachment is None:
        return "-"
    if attachment["kind"] == "netns":
        where = f" on {attachment['host']}" if attachment.get("host") else ""
        return f"netns {attachment['netns']} {attachment['interface']}{where}"
    return f"vm {document['vm_id']}"


def _device(document: Document) -> str:
    if not document["device"]:
        return "-"
    return f"{document['device']} in {document['device_netns']}" if document["device_netns"] else document["device"]


def _vm_addresses(document: Document) -> str:
    return ",".join(address for nic in document["nics"] for address in nic["ip_addresses"]) or "-"


def _vm_size(document: Document) -> str:
    size = document["flavour"]
    return f"{size['vcpus']} vCPU, {size['memory_mib']} MiB"


def _vm_why(document: Document) -> str:
    return ": ".join(filter(None, (document["state_reason"], document["state_message"]))) or "-"


def _vm_services(document: Document) -> str:
    return ",".join(
        f"{one['protocol']}/{one['port']}" + (" private" if one["private"] else "") for one in document["services"]
    )


def conditions_text(document: Document) -> str:
    lines = []
    for one in document["conditions"]:
        why = ": ".join(part for part in (one["reason"], one["message"]) if part)
        lines.append(f"{one['type']}={one['status']}" + (f" ({why})" if why else ""))
    return "\n".join(lines) or "-"


def port_name(document: Document) -> str:
    return str(document["name"] or document["id"])


def dnat_name(document: Document) -> str:
    return external_name(document["external_ip"], document["external_port"], document["protocol"])


_PROGRAMMED = Column("PROGRAMMED", programmed)
_CREATED = Column("CREATED", created, wide=True)
_REVISION = Column("REVISION", field("revision"), wide=True)
_ID = Column("ID", field("id"), wide=True)
_CONDITIONS = Column("CONDITIONS", conditions_text, detail=True)
_TAIL = (_REVISION, _CONDITIONS)

VPC = Noun(
    kind="vpc",
    title="Vpc",
    plural="VPCs",
    name=lambda document: str(document["id"]),
    id=lambda _: "",
    columns=(
        Column("PROJECT", _project),
        Column("NAME", field("name")),
        Column("CIDR", field("cidr")),
        _PROGRAMMED,
        Column("VNI", field("vni"), wide=True),
        _CREATED,
        *_TAIL,
    ),
)
SUBNET = Noun(
    kind="subnet",
    title="Subnet",
    plural="subnets",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["name"]),
    columns=(
        Column("NAME", field("name")),
        Column("CIDR", field("cidr")),
        Column("GATEWAY", field("gateway_ip")),
        Column("DHCP", field("dhcp_enabled")),
        _PROGRAMMED,
        Column("DNS", field("dns_servers"), wide=True),
        Column("DOMAIN", field("domain_name"), wide=True),
        Column("NTP", field("ntp_servers"), wide=True),
        Column("LEASE_S", field("lease_time_s"), wide=True),
        Column("VLAN", field("vlan"), wide=True),
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
PORT = Noun(
    kind="port",
    title="Port",
    plural="ports",
    name=port_name,
    id=lambda document: str(document["id"]),
    columns=(
        Column("NAME/ID", port_name),
        Column("ADDRESS", field("ip_address")),
        Column("MAC", field("mac_address")),
        Column("SUBNET", lambda document: short(document, document["subnet_id"])),
        Column(
            "GROUPS",
            lambda document: text_of([short(document, group) for group in document["security_group_ids"]]),
        ),
        Column("ATTACHED", _attached),
        _PROGRAMMED,
        Column("DEVICE", _device, wide=True),
        Column("MTU", field("mtu_bytes"), wide=True),
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
SECURITY_GROUP = Noun(
    kind="security-group",
    title="SecurityGroup",
    plural="security groups",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["name"]),
    columns=(
        Column("NAME", field("name")),
        Column("INGRESS", lambda document: str(len(document["ingress_rules"]))),
        Column("EGRESS", lambda document: str(len(document["egress_rules"]))),
        _PROGRAMMED,
        Column("DESCRIPTION", field("description")),
        Column("INGRESS RULES", _rules("ingress"), detail=True),
        Column("EGRESS RULES", _rules("egress"), detail=True),
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
SNAT = Noun(
    kind="snat",
    title="Snat",
    plural="SNATs",
    name=field("external_ip"),
    id=lambda _: "",
    columns=(
        Column("EXTERNAL", field("external_ip")),
        Column("ENABLED", field("enabled")),
        _PROGRAMMED,
        Column("VPC", field("vpc_id"), wide=True),
        *_TAIL,
    ),
)
DNAT = Noun(
    kind="dnat",
    title="Dnat",
    plural="DNATs",
    name=dnat_name,
    id=lambda document: f"{document['external_ip']}:{document['external_port']}:{document['protocol']}",
    columns=(
        Column("EXTERNAL", dnat_name),
        Column("INTERNAL", lambda document: f"{document['internal_ip']}:{document['internal_port']}"),
        _PROGRAMMED,
        Column("VPC", field("vpc_id"), wide=True),
        *_TAIL,
    ),
)
PEERING = Noun(
    kind="peering",
    title="Peering",
    plural="peerings",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["peer"]),
    columns=(
        Column("NAME", field("name")),
        Column("PEER", field("peer")),
        Column("STATE", field("state")),
        Column("PEER CIDR", field("peer_cidr")),
        _PROGRAMMED,
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
REACH_TEST = Noun(
    kind="reach-test",
    title="ReachTest",
    plural="reach tests",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["name"]),
    columns=(
        Column("NAME", field("name")),
        Column("SOURCE", field("source")),
        Column("MUST", field("must")),
        Column("DESTINATION", field("destination")),
        Column("SERVICE", field("service")),
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
PEERING_OFFER = Noun(
    kind="peering-offer",
    title="PeeringOffer",
    plural="offers of peerings",
    name=lambda document: str(document["by"]),
    id=lambda document: str(document["by"]),
    columns=(
        Column("BY", field("by")),
        Column("CIDR", field("cidr")),
        Column("ACCEPTED", field("accepted")),
        _CREATED,
    ),
)
NETWORK_POLICY = Noun(
    kind="network-policy",
    title="NetworkPolicy",
    plural="network policies",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["name"]),
    columns=(
        Column("NAME", field("name")),
        Column("KIND", field("policy_kind")),
        Column("TARGET", _policy_target),
        Column("PRIORITY", field("priority")),
        Column("RULES", lambda document: str(len(document["rules"]))),
        _PROGRAMMED,
        Column("THE RULES", _policy_rules, detail=True),
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
SUBNET_SHARE = Noun(
    kind="subnet-share",
    title="SubnetShare",
    plural="shares of subnets",
    name=lambda document: f"{short(document, document['subnet_id'])}/{document['to']}",
    id=lambda document: f"{short(document, document['subnet_id'])}/{document['to']}",
    columns=(
        Column("SUBNET", lambda document: short(document, document["subnet_id"])),
        Column("TO", field("to")),
        _PROGRAMMED,
        _CREATED,
        *_TAIL,
    ),
)
SHARED_SUBNET = Noun(
    kind="shared-subnet",
    title="Subnet",
    plural="subnets shared with the project",
    name=lambda document: str(document["id"]),
    id=lambda document: str(document["id"]),
    columns=(
        Column("ID", field("id")),
        Column("CIDR", field("cidr")),
        Column("GATEWAY", field("gateway_ip")),
        Column("DHCP", field("dhcp_enabled")),
    ),
)
VM = Noun(
    kind="vm",
    title="Vm",
    plural="VMs",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["name"]),
    columns=(
        Column("NAME", field("name")),
        Column("STATE", lambda document: str(document["state"]).upper().replace("-", "_")),
        Column("IMAGE", field("image")),
        Column("ADDRESSES", _vm_addresses),
        Column("SIZE", _vm_size),
        Column("WHY", _vm_why),
        Column("SERVICES", _vm_services, wide=True),
        Column("RESTARTS", field("restarts"), wide=True),
        Column("HOST", field("host"), wide=True),
        Column("KEYS", field("ssh_key_ids"), detail=True),
        Column("COMMAND", lambda document: " ".join(document["command"]) or "-", detail=True),
        Column("RESTART", field("restart_policy"), detail=True),
        Column("HOST KEY", field("host_key"), detail=True),
        _ID,
        _CREATED,
        *_TAIL,
    ),
)
SSH_KEY = Noun(
    kind="ssh-key",
    title="SshKey",
    plural="SSH keys",
    name=lambda document: str(document["name"]),
    id=lambda document: str(document["name"]),
    columns=(
        Column("NAME", field("name")),
        Column("FINGERPRINT", field("fingerprint")),
        Column("KEY", field("public_key"), detail=True),
        _CREATED,
    ),
)
NOUNS = {
    noun.kind: noun
    for noun in (
        VPC,
        SUBNET,
        PORT,
        SECURITY_GROUP,
        SNAT,
        DNAT,
        PEERING,
        NETWORK_POLICY,
        REACH_TEST,
        SUBNET_SHARE,
        VM,
        SSH_KEY,
    )
}
