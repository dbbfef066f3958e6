"""Resources as rows of the northbound (ovn-nb(5)) and back. Pure; references to other rows are the driver's."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from weftwork.base.addresses import Mac
from weftwork.drivers.ovsdb.wire import Row
from weftwork.program.ovn import (
    Acl,
    AclAction,
    AclDirection,
    AclLog,
    AddressSet,
    DhcpOptions,
    LoadBalancer,
    LoadBalancerGroup,
    LogicalRouter,
    LogicalRouterPort,
    LogicalSwitch,
    LogicalSwitchPort,
    Meter,
    Nat,
    Options,
    OvnResource,
    PortGroup,
    RouterPolicy,
    StaticRoute,
)

MARK = "weftwork"
"""Rows of ours hold their scope under this key of `external_ids`."""
DEPLOYMENT = "weftwork-deployment"
"""And whose of ours they are under this one; rows from before deployments lack it."""
NAME = "weftwork-name"
BELONGS_TO = "weftwork-belongs-to"
"""What holds the reference to the row, as the resource names it. A row that nothing refers to is not there."""
GROUP_SEPARATOR = "/"
"""A Load_Balancer_Group has no `external_ids`: it is called `weftwork@<deployment>/<scope>/<name>`."""

WATCHED: Mapping[str, tuple[str, ...]] = {
    "NB_Global": ("nb_cfg", "sb_cfg", "hv_cfg"),
    "Logical_Switch": ("name", "ports", "acls", "load_balancer_group", "other_config", "external_ids"),
    "Logical_Switch_Port": (
        *("name", "type", "addresses", "port_security", "options", "dhcpv4_options", "external_ids"),
    ),
    "Logical_Router": (
        *("name", "ports", "static_routes", "policies", "nat", "load_balancer_group", "options", "external_ids"),
    ),
    "Logical_Router_Port": ("name", "mac", "networks", "gateway_chassis", "peer", "options", "external_ids"),
    "Gateway_Chassis": ("chassis_name", "priority"),
    "Port_Group": ("name", "ports", "acls", "external_ids"),
    "Address_Set": ("name", "addresses", "external_ids"),
    "ACL": (
        *("direction", "priority", "match", "action", "options", "log", "name", "severity", "meter", "external_ids"),
    ),
    "Meter": ("name", "unit", "bands", "external_ids"),
    "Meter_Band": ("rate", "burst_size"),
    "DHCP_Options": ("cidr", "options", "external_ids"),
    "Logical_Router_Static_Route": ("ip_prefix", "nexthop", "output_port", "external_ids"),
    "Logical_Router_Policy": ("priority", "match", "action", "external_ids"),
    "NAT": ("type", "external_ip", "logical_ip", "external_ids"),
    "Load_Balancer": ("name", "protocol", "vips", "options", "external_ids"),
    "Load_Balancer_Group": ("name", "load_balancer"),
}
"""The columns that say what we hold."""

ROOTS = frozenset(
    {
        "Logical_Switch",
        "Logical_Router",
        "Port_Group",
        "Address_Set",
        "DHCP_Options",
        "Load_Balancer",
        "Load_Balancer_Group",
        "Meter",
    }
)
"""Tables whose rows live without being referred to."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The row that holds a reference to this one, by table and name, and in which column."""

    table: str
    name: str
    column: str


TABLE_OF: Mapping[type, str] = {
    LogicalSwitch: "Logical_Switch",
    LogicalRouter: "Logical_Router",
    DhcpOptions: "DHCP_Options",
    PortGroup: "Port_Group",
    AddressSet: "Address_Set",
    LoadBalancerGroup: "Load_Balancer_Group",
    Meter: "Meter",
    LogicalRouterPort: "Logical_Router_Port",
    LogicalSwitchPort: "Logical_Switch_Port",
    Acl: "ACL",
    StaticRoute: "Logical_Router_Static_Route",
    RouterPolicy: "Logical_Router_Policy",
    Nat: "NAT",
    LoadBalancer: "Load_Balancer",
}
"""Members of groups and sets have no row of their own."""

_AFTER_LB = {"apply-after-lb": "true"}
_SEVERITY = "info"
"""Below it, ovn-controller writes nothing down."""
_UNIT = "pktps"


def parent_of(resource: OvnResource) -> Parent | None:
    match resource:
        case LogicalSwitchPort(switch=switch):
            return Parent("Logical_Switch", switch, "ports")
        case LogicalRouterPort(router=router):
            return Parent("Logical_Router", router, "ports")
        case StaticRoute(router=router):
            return Parent("Logical_Router", router, "static_routes")
        case RouterPolicy(router=router):
            return Parent("Logical_Router", router, "policies")
        case Nat(router=router):
            return Parent("Logical_Router", router, "nat")
        case LoadBalancer(group=group):
            return Parent("Load_Balancer_Group", group, "load_balancer")
        case Acl(on=on):
            kind, _, name = on.partition(" ")
            return Parent("Port_Group" if kind == "group" else "Logical_Switch", name, "acls")
    return None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a row says of its owner."""

    deployment: str
    scope: str


def columns_of(resource: OvnResource, deployment: str = "") -> dict[str, Any]:
    """Everything but references to other rows."""
    if isinstance(resource, LoadBalancerGroup):
        return {"name": group_name(Mark(deployment, resource.scope), resource.name)}
    columns = _columns(resource)
    marks = {MARK: resource.scope}
    if deployment:
        marks[DEPLOYMENT] = deployment
    if isinstance(resource, DhcpOptions):
        marks[NAME] = resource.name
    if belongs_to := _belongs_to(resource):
        marks[BELONGS_TO] = belongs_to
    columns["external_ids"] = marks
    return columns


def _belongs_to(resource: OvnResource) -> str:
    match resource:
        case LogicalSwitchPort(switch=name):
            return name
        case LogicalRouterPort(router=name) | StaticRoute(router=name) | RouterPolicy(router=name) | Nat(router=name):
            return name
        case LoadBalancer(group=name) | Acl(on=name):
            return name
    return ""


def _columns(resource: OvnResource) -> dict[str, Any]:
    match resource:
        case LogicalSwitchPort():
            return {
                "name": resource.name,
                "type": resource.type,
                "addresses": frozenset(resource.addresses),
                "port_security": frozenset(resource.port_security),
                "options": dict(resource.options),
            }
        case LogicalSwitch():
            return {"name": resource.name, "other_config": dict(resource.other_config)}
        case LogicalRouter():
            return {"name": resource.name, "options": dict(resource.options)}
        case LogicalRouterPort():
            return {
                "name": resource.name,
                "mac": resource.mac,
                "networks": frozenset(resource.networks),
                "peer": frozenset({resource.peer} if resource.peer else ()),
                "options": dict(resource.options),
            }
        case DhcpOptions():
            return {"cidr": str(resource.cidr), "options": dict(resource.options)}
        case PortGroup() | AddressSet():
            return {"name": resource.name}
        case Acl():
            return {
                "direction": resource.direction.value,
                "priority": resource.priority,
                "match": resource.match,
                "action": resource.action.value,
                "options": _AFTER_LB if resource.after_load_balancing else {},
                **_log_columns(resource.log),
            }
        case Meter():
            return {"name": resource.name, "unit": _UNIT}
        case StaticRoute():
            return {
                "ip_prefix": str(resource.prefix),
                "nexthop": resource.next_hop,
                "output_port": frozenset({resource.output_port} if resource.output_port else ()),
            }
        case RouterPolicy():
            return {"priority": resource.priority, "match": resource.match, "action": resource.action}
        case Nat():
            return {
                "type": resource.type,
                "external_ip": str(resource.external),
                "logical_ip": str(resource.logical),
            }
        case LoadBalancer():
            return {
                "name": resource.name,
                "protocol": resource.protocol,
                "vips": dict(resource.vips),
                "options": dict(resource.options),
            }
    raise AssertionError(f"{type(resource).__name__} is no row")


def _log_columns(log: AclLog | None) -> dict[str, Any]:
    if log is None:
        return {"log": False, "name": frozenset(), "severity": frozenset(), "meter": frozenset()}
    words = {"name": log.name, "severity": _SEVERITY, "meter": log.meter}
    return {"log": True, **{column: frozenset({word}) for column, word in words.items()}}


def group_name(mark: Mark, name: str) -> str:
    word = f"{MARK}@{mark.deployment}" if mark.deployment else MARK
    return GROUP_SEPARATOR.join((word, mark.scope, name))


def name_in_group(row: Row) -> str:
    """What a group of ours is called within its scope."""
    return str(row["name"]).split(GROUP_SEPARATOR, 2)[-1]


def mark_of(table: str, row: Row) -> Mark | None:
    """Whose row it is; None when it is nobody's of ours."""
    if table == "Load_Balancer_Group":
        words = str(row["name"]).split(GROUP_SEPARATOR, 2)
        word, _, deployment = words[0].partition("@")
        return Mark(deployment, words[1]) if word == MARK and len(words) == 3 and words[1] else None
    ids = row.get("external_ids", {})
    scope = str(ids.get(MARK, ""))
    return Mark(str(ids.get(DEPLOYMENT, "")), scope) if scope else None


def marked_anew(table: str, row: Row, deployment: str) -> dict[str, Any]:
    """The columns that give a row of ours to another deployment."""
    if table == "Load_Balancer_Group":
        mark = mark_of(table, row)
        assert mark is not None, "only what is marked is given away"
        return {"name": group_name(Mark(deployment, mark.scope), name_in_group(row))}
    kept = {key: value for key, value in row["external_ids"].items() if key != DEPLOYMENT}
    return {"external_ids": kept | ({DEPLOYMENT: deployment} if deployment else {})}


@dataclass(frozen=True, slots=True)
class Relations:
    """What the references of a row say, as names: its load balancers' group, its DHCP, its chassis."""

    load_balancer_group: str = ""
    dhcp: str = ""
    gateway_chassis: tuple[str, ...] = ()
    per_second: int = 0
    """Of a meter with one band, that may come at once, too; 0 of any other."""


def resource_of(table: str, scope: str, row: Row, relations: Relations) -> OvnResource:
    """Raises ValueError or KeyError for a row that is none of ours however it is read."""
    parent = row.get("external_ids", {}).get(BELONGS_TO, "")
    match table:
        case "Logical_Switch":
            return LogicalSwitch(scope, row["name"], _options(row["other_config"]), relations.load_balancer_group)
        case "Logical_Router":
            return LogicalRouter(scope, row["name"], _options(row["options"]), relations.load_balancer_group)
        case "Logical_Switch_Port":
            return LogicalSwitchPort(
                scope=scope,
                switch=parent,
                name=row["name"],
                type=row["type"],
                addresses=_texts(row["addresses"]),
                port_security=_texts(row["port_security"]),
                options=_options(row["options"]),
                dhcp=relations.dhcp,
            )
        case "Logical_Router_Port":
            return LogicalRouterPort(
                scope=scope,
                router=parent,
                name=row["name"],
                mac=Mac(row["mac"]),
                networks=_texts(row["networks"]),
                gateway_chassis=relations.gateway_chassis,
                peer=_optional(row["peer"]),
                options=_options(row["options"]),
            )
        case "DHCP_Options":
            name = row["external_ids"].get(NAME, "")
            return DhcpOptions(scope, name, ip_network(row["cidr"]), _options(row["options"]))
        case "Port_Group":
            return PortGroup(scope, row["name"])
        case "Address_Set":
            return AddressSet(scope, row["name"])
        case "Load_Balancer_Group":
            return LoadBalancerGroup(scope, name_in_group(row))
        case "ACL":
            return Acl(
                scope=scope,
                on=parent,
                direction=AclDirection(row["direction"]),
                priority=row["priority"],
                match=row["match"],
                action=AclAction(row["action"]),
                after_load_balancing=row["options"] == _AFTER_LB,
                log=_log_in(row),
            )
        case "Meter":
            if row["unit"] != _UNIT or not relations.per_second:
                raise ValueError("another kind of meter")
            return Meter(scope, row["name"], relations.per_second)
        case "Logical_Router_Static_Route":
            prefix, output = ip_network(row["ip_prefix"]), _optional(row["output_port"])
            return StaticRoute(scope, parent, prefix, row["nexthop"], output)
        case "Logical_Router_Policy":
            return RouterPolicy(scope, parent, row["priority"], row["match"], row["action"])
        case "NAT":
            external, logical = ip_address(row["external_ip"]), ip_network(row["logical_ip"])
            return Nat(scope, parent, row["type"], external, logical)
        case "Load_Balancer":
            return LoadBalancer(
                scope=scope,
                name=row["name"],
                group=parent,
                protocol=_optional(row["protocol"]),
                vips=_options(row["vips"]),
                options=_options(row["options"]),
            )
    raise AssertionError(f"no resource is a row of {table}")


def _log_in(row: Row) -> AclLog | None:
    if not row["log"]:
        return None
    if row["severity"] != _SEVERITY:
        raise ValueError("logged otherwise")
    return AclLog(_optional(row["name"]), _optional(row["meter"]))


def _options(column: Mapping[str, str]) -> Options:
    return tuple(sorted(column.items()))


def _texts(column: Any) -> tuple[str, ...]:
    return tuple(sorted(column)) if isinstance(column, frozenset) else (str(column),)


def _optional(column: Any) -> str:
    return "" if column == frozenset() else str(column)
