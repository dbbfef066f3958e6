"""A security group's slice: its port group, and an ACL per rule. Members come with the ports."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.flow_log import allowing
from weftwork.compiler.ovn.guard import RULE
from weftwork.compiler.ovn.peering import peer_vpcs
from weftwork.model.intent import Intent
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import Acl, AclAction, AclDirection, PortGroup
from weftwork.program.resource import Resource

_ANYWHERE = "0.0.0.0/0"


def compile_group(intent: Intent, vpc: Vpc, group: SecurityGroup) -> Iterator[Resource]:
    own = names.group_of(vpc, group.name)
    yield PortGroup(names.scope_of(vpc), own)
    for rule in group.ingress:
        yield from _rule(intent, vpc, own, rule, AclDirection.TO_PORT)
    for rule in group.egress:
        yield from _rule(intent, vpc, own, rule, AclDirection.FROM_PORT)


def _rule(intent: Intent, vpc: Vpc, own: str, rule: Rule, direction: AclDirection) -> Iterator[Resource]:
    if isinstance(rule.peer, GroupRef):
        yield PortGroup(names.scope_of(vpc), names.group_of(vpc, str(rule.peer)))
    for match in matches_of(intent, vpc, own, rule, direction):
        allowed = Acl(
            scope=names.scope_of(vpc),
            on=f"group {own}",
            direction=direction,
            priority=RULE,
            match=match,
            action=AclAction.ALLOW_RELATED,
            after_load_balancing=direction is AclDirection.FROM_PORT,
        )
        yield from allowing(vpc, allowed)


def matches_of(intent: Intent, vpc: Vpc, own: str, rule: Rule, direction: AclDirection) -> Iterator[str]:
    """Each of them allows. None for a peer of another family.

    A group of another project has its ports in the VPC's own shared subnets and, when the project is a peer, there.
    """
    outwards = direction is AclDirection.FROM_PORT
    end, peer = (f"inport == @{own}", "ip4.dst") if outwards else (f"outport == @{own}", "ip4.src")
    for addresses in _addresses(intent, vpc, rule):
        who = () if addresses == _ANYWHERE else (f"{peer} == {addresses}",)
        for service in services_of(rule.protocol, rule.ports):
            yield " && ".join((end, "ip4", *who, *service))


def _addresses(intent: Intent, vpc: Vpc, rule: Rule) -> Iterator[str]:
    match rule.peer:
        case IPv4Network() as network:
            yield str(network)
        case GroupRef(name, owner) as group:
            yield names.addresses_of(names.group_of(vpc, str(group)))
            for there in (one for one in peer_vpcs(intent, vpc.owner) if one.owner == owner):
                yield names.addresses_of(names.group_of(there, name))


def services_of(protocol: Protocol, ports: PortRange | None) -> Iterator[tuple[str, ...]]:
    """ALL with ports means TCP and UDP, the protocols that have ports."""
    if protocol is Protocol.ICMP:
        yield ("icmp4",)
    elif protocol is Protocol.ALL and ports is None:
        yield ()
    else:
        protocols = ("tcp", "udp") if protocol is Protocol.ALL else (protocol.value,)
        yield from (one for name in protocols for one in _ported(name, ports))


def _ported(protocol: str, ports: PortRange | None) -> Iterator[tuple[str, ...]]:
    """Port 0 is what rules see where they cannot see a port, so none may speak of it; nothing else comes with it."""
    if ports is None or (ports.min, ports.max) == (0, 65535):
        yield (protocol,)
        return
    first, last = max(ports.min, 1), ports.max
    if first == last:
        yield (f"{protocol}.dst == {first}",)
    elif first < last:
        yield (f"{first} <= {protocol}.dst <= {last}",)
