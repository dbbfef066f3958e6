"""Network policies: a chain for each policy and direction, and one that asks them in their order.

A policy has no part in the slices of ports: which ports it is for is said by its target's range. Its rules are only
read when a flow is judged. What they decide is told by the packet's priority, for a chain cannot return twice.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from itertools import groupby

from weftwork.compiler.linux import names
from weftwork.compiler.linux.group import Direction, compile_rules, element_of
from weftwork.compiler.linux.policy import families
from weftwork.compiler.settings import HostProfile
from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, Rule
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Family, NftChain
from weftwork.program.resource import Resource

_ALLOWED = "0001:0001"
"""The packet's priority once a policy has allowed it."""
_ALLOW = f"meta priority set {_ALLOWED} return"
_DENY = 'counter name "denied_by_policy" drop'
_ISOLATED = 'counter name "isolated" drop'
_SENDER, _RECEIVER = "ct original ip saddr", "ct reply ip saddr"
"""The ends of a flow as security groups see them."""


def compile_policies(vpc: Vpc, project: ProjectIntent, profile: HostProfile) -> Iterator[Resource]:
    """The chains that ask the policies, in both directions."""
    scope = names.scope_of(vpc)
    policies = sorted(project.policies.values(), key=lambda one: one.place)
    out = [line for one in policies if one.judges_egress for line in _asked(vpc, project, one, names.POLICIES_OUT)]
    into = [line for one in policies if one.judges_ingress for line in _asked(vpc, project, one, names.POLICIES_IN)]
    for family in families(profile):
        yield NftChain(scope, family, names.POLICIES_OUT, "", _anew(out))
        yield NftChain(scope, family, names.POLICIES_IN, "", _anew(into))


def compile_policy(vpc: Vpc, project: ProjectIntent, policy: NetworkPolicy, profile: HostProfile) -> Iterator[Resource]:
    """Its own chains."""
    scope = names.scope_of(vpc)
    for family in families(profile):
        if policy.judges_egress:
            yield from _chain(scope, family, project, policy, names.policy_chain("out", policy.name), _RECEIVER)
        if policy.judges_ingress:
            yield from _chain(scope, family, project, policy, names.policy_chain("in", policy.name), _SENDER)


def _anew(lines: list[str]) -> tuple[str, ...]:
    """The kernel gives routed packets a priority from their type of service."""
    return ("meta priority set none", *lines) if lines else ()


def _asked(vpc: Vpc, project: ProjectIntent, policy: NetworkPolicy, asking: str) -> tuple[str, ...]:
    """Ask the policy if the flow is its target's, and nobody after it if it allows."""
    target = _target(vpc, project, policy)
    if target is None:
        return ()
    own, other = (_SENDER, _RECEIVER) if asking == names.POLICIES_OUT else (_RECEIVER, _SENDER)
    beyond = f" {other} != {target}" if policy.kind is PolicyKind.ISOLATION else ""
    direction = "out" if asking == names.POLICIES_OUT else "in"
    return (
        f"{own} {target}{beyond} jump {names.policy_chain(direction, policy.name)}",
        f"meta priority {_ALLOWED} return",
    )


def _target(vpc: Vpc, project: ProjectIntent, policy: NetworkPolicy) -> str | None:
    """Its range; None if it is a subnet that is not there, or of IPv6."""
    if not policy.subnet:
        return element_of(vpc.cidr) if isinstance(vpc.cidr, IPv4Network) else None
    subnet = project.subnets.get(policy.subnet)
    return element_of(subnet.cidr) if subnet and isinstance(subnet.cidr, IPv4Network) else None


def _chain(
    scope: str, family: Family, project: ProjectIntent, policy: NetworkPolicy, chain: str, peer: str
) -> Iterator[Resource]:
    lines: list[str] = []
    # Among neighbours that do the same the order does not matter, so their peers are one set for each service.
    for number, (action, rules) in enumerate(groupby(policy.rules, key=lambda rule: rule.action)):
        direction = Direction(f"{chain}.{number}", peer, _ALLOW if action is Action.ALLOW else _DENY)
        more, resources = compile_rules(scope, family, direction, _plain(project, rules))
        lines += more
        yield from resources
    if policy.kind is PolicyKind.ISOLATION:
        lines.append(_ISOLATED)
    yield NftChain(scope, family, chain, "", tuple(lines))


def _plain(project: ProjectIntent, rules: Iterable[PolicyRule]) -> Iterator[Rule]:
    """As rules of a group; a subnet is its range, and one that is not there is nobody."""
    for rule in rules:
        match rule.peer:
            case SubnetRef(name):
                if subnet := project.subnets.get(name):
                    yield Rule(rule.protocol, rule.ports, subnet.cidr)
            case GroupRef() | _ as peer:
                yield Rule(rule.protocol, rule.ports, peer)
