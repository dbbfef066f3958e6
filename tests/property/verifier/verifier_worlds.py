"""An oracle that shares no code with the verifier: packet by packet, in the plainest words; and what to ask about."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_network

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.network_policy import Action, PolicyKind, SubnetRef
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Protocol, Rule

CIDRS = tuple(
    map(ip_network, ("0.0.0.0/0", "10.0.1.0/25", "10.0.1.11/32", "10.0.2.0/24", "198.51.100.0/25", "203.0.113.64/26"))
)
SERVICES = [(6, port) for port in (0, 79, 80, 81, 443, 999, 1000, 2000, 2001, 65535)]
SERVICES += [(17, port) for port in (68, 80, 4789, 1500)] + [(1, 0), (47, 0), (253, 0)]


def matches(rule: Rule, protocol: int, port: int, address: IPv4Address, groups: tuple[str, ...]) -> bool:
    if isinstance(rule.peer, GroupRef):
        if str(rule.peer) not in groups:
            return False
    elif not isinstance(rule.peer, IPv4Network) or address not in rule.peer:
        return False
    if rule.protocol == Protocol.ICMP:
        return protocol == 1
    if rule.protocol == Protocol.TCP and protocol != 6:
        return False
    if rule.protocol == Protocol.UDP and protocol != 17:
        return False
    if rule.ports is None:
        return True
    return protocol in (6, 17) and port in range(rule.ports.min, rule.ports.max + 1)


def any_matches(
    own: ProjectIntent, port: Port, way: str, protocol: int, number: int, peer: IPv4Address, groups: tuple[str, ...]
) -> bool:
    rules: list[Rule] = []
    for name in port.groups:
        if name in own.groups:
            rules += own.groups[name].ingress if way == "in" else own.groups[name].egress
    return any(matches(rule, protocol, number, peer, groups) for rule in rules)


def denied(
    own: ProjectIntent, port: Port, way: str, protocol: int, number: int, peer: IPv4Address, groups: tuple[str, ...]
) -> bool:
    """By the policies of the port, in their order; the first rule that matches decides."""
    opposite = {"in": PolicyKind.EGRESS, "out": PolicyKind.INGRESS}[way]
    mine, ranges = port.addresses[0], {name: one.cidr for name, one in own.subnets.items()}
    assert own.vpc is not None
    for policy in sorted(own.policies.values(), key=lambda one: (one.priority, one.name)):
        target = ranges[policy.subnet] if policy.subnet else own.vpc.cidr
        if policy.kind is opposite or mine not in target:
            continue
        apart = policy.kind is PolicyKind.ISOLATION
        if apart and peer in target:
            continue
        for rule in policy.rules:
            where = ranges[rule.peer.name] if isinstance(rule.peer, SubnetRef) else rule.peer
            if matches(Rule(rule.protocol, rule.ports, where), protocol, number, peer, groups):
                return rule.action is Action.DENY
        if apart:
            return True
    return False


def may_pass(
    own: ProjectIntent, port: Port, way: str, protocol: int, number: int, peer: IPv4Address, groups: tuple[str, ...]
) -> bool:
    """Says the port's end: by its policies and its groups."""
    asked = (own, port, way, protocol, number, peer, groups)
    return any_matches(*asked) and not denied(*asked)


def attached(own: ProjectIntent) -> list[Port]:
    return [port for port in own.ports.values() if port.attachment is not None]


def sendable(protocol: int, port: int) -> bool:
    if protocol in (4, 41, 47, 97, 115, 137):
        return False
    return not (protocol == 17 and port in (68, 4754, 4755, 4789, 4790, 6081, 6635, 8472))


def passes_inside(own: ProjectIntent, a: Port, b: Port, protocol: int, number: int) -> bool:
    """From one attached port to another's own address."""
    source, destination = a.addresses[0], b.addresses[0]
    assert isinstance(source, IPv4Address) and isinstance(destination, IPv4Address)
    return may_pass(own, a, "out", protocol, number, destination, b.groups) and may_pass(
        own, b, "in", protocol, number, source, a.groups
    )


def questions(intent: Intent) -> Iterator[tuple[ProjectKey, ProjectIntent, Port, Port]]:
    """Every two different attached ports of a project."""
    for owner, own in intent.items():
        for a in attached(own):
            for b in attached(own):
                if a is not b:
                    yield owner, own, a, b
