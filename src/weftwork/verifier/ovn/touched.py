"""What a change of rows speaks of: the ports, groups and plumbing to look at, by VPC."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from weftwork.program.chassis import ChassisPort
from weftwork.program.ovn import (
    Acl,
    LogicalRouterPort,
    LogicalSwitchPort,
    PortGroup,
    PortGroupMember,
)
from weftwork.program.resource import Resource
from weftwork.verifier.ovn import names

_GROUP = re.compile(r"port == @([\w.]+)")
_PORT = re.compile(r'port == "([^"]+)"')


@dataclass(slots=True)
class Touched:
    """In one VPC. `rules`: what all its switches have in force; `plumbing`: switches, routers, routes, translations."""

    ports: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    rules: bool = False
    plumbing: bool = False
    rows: list[Resource] = field(default_factory=list)


def touched_by(resources: Iterable[Resource]) -> dict[str, Touched]:
    """By the scope of the VPC that a row is about: rows on the external switch are about the VPC that they lead to."""
    found: defaultdict[str, Touched] = defaultdict(Touched)
    for row in resources:
        scope = about(row)
        touched = found[scope]
        touched.rows.append(row)
        match row:
            case LogicalSwitchPort(type="") | PortGroupMember() | ChassisPort():
                _port(touched, row)
            case Acl():
                _acl(touched, row, scope)
            case PortGroup():
                group = names.group_in(row.name)[1]
                touched.groups |= {group} if group else set()
                touched.rules |= not group
            case LogicalRouterPort() if row.peer:
                touched.plumbing = touched.rules = True
                found[names.scope_of(row.peer)].plumbing = True
            case _ if type(row).__module__ == Acl.__module__:
                touched.plumbing = touched.rules = True
    return found


def about(row: Resource) -> str:
    if row.scope != names.EXTERNAL:
        return row.scope
    if isinstance(row, LogicalSwitchPort) and row.type == "router":
        return names.scope_of(row.name)
    led = _PORT.search(row.match) if isinstance(row, Acl) else None
    return names.scope_of(led[1]) if led else row.scope


def _port(touched: Touched, row: LogicalSwitchPort | PortGroupMember | ChassisPort) -> None:
    match row:
        case LogicalSwitchPort(name=name) | PortGroupMember(port=name) | ChassisPort(iface_id=name):
            touched.ports.add(names.port_in(name))
    if isinstance(row, LogicalSwitchPort) and not names.port_in(row.name):
        touched.plumbing = True
    if isinstance(row, PortGroupMember) and not (names.port_in(row.port) and names.group_in(row.group)[1]):
        touched.plumbing = True


def _acl(touched: Touched, acl: Acl, scope: str) -> None:
    if acl.scope == names.EXTERNAL:
        touched.plumbing = True
        return
    groups = {names.group_in(one)[1] for one in (*_GROUP.findall(acl.match), acl.on.partition(" ")[2])} - {""}
    touched.groups |= groups
    touched.plumbing |= not acl.on.startswith("group ")
    if not groups:
        touched.rules = True
