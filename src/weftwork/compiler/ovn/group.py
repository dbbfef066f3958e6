"""A security group's slice: its port group, and an ACL per rule. Members come with the ports."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.guard import RULE
from weftwork.compiler.ovn.peering import peer_vpcs
from weftwork.model.intent import Intent
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import Acl, AclAction, AclDirection, PortGroup
from weftwork.program.resource import Resource

_ANYWHERE = IPv4Network("0.0.0.0/0")


def compile_group(intent: Intent, vpc: Vpc, group: SecurityGroup) -> Iterator[Resource]:
    own = names.group_of(vpc, group.name)
    yield PortGroup(names.scope_of(vpc), own)
    for rule in group.ingress:
        yield from _rule(intent, vpc, own, rule, AclDirection.TO_PORT)
    for rule in group.egress:
        yield from _rule(intent, vpc, own, rule, AclDirection.FROM_PORT)


def _rule(intent: Intent, vpc: Vpc, own: str, rule: Rule, direction: AclDirection) -> Iterator[Resource]:
    """Nothing for a peer of another family, or a group of a project that is no peer."""
    outwards = direction is AclDirection.FROM_PORT
    end, peer = (f"inport == @{own}", "ip4.dst") if outwards else (f"outport == @{own}", "ip4.src")
    match rule.peer:
        case IPv4Network() as network:
            who = () if network == _ANYWHERE else (f"{peer} == {network}",)
        case GroupRef(name, None):
            other = names.group_of(vpc, name)
            yield PortGroup(names.scope_of(vpc), other)
            who = (f"{peer} == {names.addresses_of(other)}",)
        case GroupRef(name, owner) if owner:
            there = next((one for one in peer_vpcs(intent, vpc.owner) if one.owner == owner), None)
            if there is None:
                return
            who = (f"{peer} == {names.addresses_of(names.group_of(there, name))}",)
        case _:
            return
    for service in _services(rule.protocol, rule.ports):
        yield Acl(
            scope=names.scope_of(vpc),
            on=f"group {own}",
            direction=direction,
            priority=RULE,
            match=" && ".join((end, "ip4", *who, *service)),
            action=AclAction.ALLOW_RELATED,
            after_load_balancing=outwards,
        )


def _services(protocol: Protocol, ports: PortRange | None) -> Iterator[tuple[str, ...]]:
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
