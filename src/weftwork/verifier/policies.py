"""What network policies say: about one packet, and as sets of packets. Written from docs/explain/who-wins.md."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.verifier.boxes import (
    ADDRESSES,
    NOTHING,
    PROTOCOLS,
    TRANSPORT_PORTS,
    Box,
    Boxes,
    Span,
    intersect,
    subtract,
    union,
)
from weftwork.verifier.packet import ICMP, TCP, UDP

_NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.ICMP: ICMP}
_NOBODY: Span = (1, 0)


@dataclass(frozen=True, slots=True)
class Decided:
    """The policy that decides, and its rule; without one, an isolation denies for itself."""

    policy: NetworkPolicy
    rule: PolicyRule | None

    @property
    def is_allowed(self) -> bool:
        return self.rule is not None and self.rule.action is Action.ALLOW


def decided(
    project: ProjectIntent,
    own: IPv4Address,
    peer: IPv4Address,
    peer_groups: tuple[str, ...],
    protocol: int,
    port: int,
    *,
    outwards: bool,
) -> Decided | None:
    """By the policies of the port with the address `own`, which sends (`outwards`) or receives; None: by none."""
    for policy in policies_of(project, outwards=outwards):
        target = target_of(project, policy)
        if target is None or own not in target:
            continue
        if policy.kind is PolicyKind.ISOLATION and peer in target:
            continue
        rule = matched(project, policy, peer, peer_groups, protocol, port)
        if rule is not None:
            return Decided(policy, rule)
        if policy.kind is PolicyKind.ISOLATION:
            return Decided(policy, None)
    return None


@dataclass(frozen=True, slots=True)
class PolicySets:
    """What the policies of a project deny. Equal ones deny the same."""

    policies: tuple[NetworkPolicy, ...] = ()
    vpc: Span = ADDRESSES
    subnets: tuple[tuple[str, Span], ...] = ()
    _denied: dict[tuple[bool, frozenset[str]], Boxes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_empty(self) -> bool:
        return not self.policies

    def between(self, allowed: Boxes, source: tuple[str, ...], destination: tuple[str, ...]) -> Boxes:
        """What is left of what the groups of two classes of the project allow."""
        if not self.policies:
            return allowed
        return subtract(subtract(allowed, self.denied_out(destination)), self.denied_in(source))

    def denied_out(self, peer: Iterable[str] = ()) -> Boxes:
        """What senders of the project may not send to a peer that has these groups of the project."""
        return self._denied_to(peer, outwards=True)

    def denied_in(self, peer: Iterable[str] = ()) -> Boxes:
        """What may not come to receivers of the project."""
        return self._denied_to(peer, outwards=False)

    def spans_of_change(self, other: "PolicySets") -> tuple[Span, ...]:
        """The targets of the policies that only one of the two has."""
        if (self.vpc, self.subnets) != (other.vpc, other.subnets):
            return (ADDRESSES,) if self.policies or other.policies else ()
        changed = set(self.policies) ^ set(other.policies)
        return tuple(sorted({self._target(one) for one in changed}))

    def _denied_to(self, peer: Iterable[str], *, outwards: bool) -> Boxes:
        named = frozenset[str]().union(*(one.groups_named for one in self.policies)).intersection(peer)
        known = self._denied.get((outwards, named))
        if known is None:
            known = self._denied[outwards, named] = self._read(named, outwards=outwards)
        return known

    def _read(self, peer: frozenset[str], *, outwards: bool) -> Boxes:
        """From the last rule to the first, for the first decides."""
        denied: Boxes = NOTHING
        judging = (one for one in self.policies if (one.judges_egress if outwards else one.judges_ingress))
        for policy in reversed(tuple(judging)):
            about = _flows(self._target(policy), ADDRESSES, outwards=outwards)
            if policy.kind is PolicyKind.ISOLATION:
                about = subtract(about, _flows(ADDRESSES, self._target(policy), outwards=outwards))
                denied = union((*denied, *about))
            for rule in reversed(policy.rules):
                matched = intersect(about, self._matched(rule, peer, outwards=outwards))
                denied = subtract(denied, matched)
                if rule.action is Action.DENY:
                    denied = (*denied, *matched)
        return union(denied)

    def _matched(self, rule: PolicyRule, peer: frozenset[str], *, outwards: bool) -> Boxes:
        span = self._peer(rule, peer)
        if span == _NOBODY:
            return NOTHING
        where = _flows(ADDRESSES, span, outwards=outwards)[0]
        return tuple(where._replace(protocol=protocol, port=port) for protocol, port in _services(rule))

    def _peer(self, rule: PolicyRule, peer: frozenset[str]) -> Span:
        match rule.peer:
            case IPv4Network() as network:
                return span_of(network)
            case GroupRef(name, None):
                return ADDRESSES if name in peer else _NOBODY
            case SubnetRef(name):
                return dict(self.subnets).get(name, _NOBODY)
            case _:
                return _NOBODY

    def _target(self, policy: NetworkPolicy) -> Span:
        return dict(self.subnets).get(policy.subnet, _NOBODY) if policy.subnet else self.vpc


def policy_sets(project: ProjectIntent) -> PolicySets:
    if not project.policies or project.vpc is None or not isinstance(project.vpc.cidr, IPv4Network):
        return PolicySets()
    subnets = ((name, one.cidr) for name, one in sorted(project.subnets.items()))
    return PolicySets(
        tuple(sorted(project.policies.values(), key=lambda one: one.place)),
        span_of(project.vpc.cidr),
        tuple((name, span_of(cidr)) for name, cidr in subnets if isinstance(cidr, IPv4Network)),
    )


def span_of(network: IPv4Network) -> Span:
    return (int(network.network_address), int(network.broadcast_address))


def policies_of(project: ProjectIntent, *, outwards: bool) -> list[NetworkPolicy]:
    """Those that judge what is sent (`outwards`) or what comes, in their order."""
    policies = sorted(project.policies.values(), key=lambda one: one.place)
    return [one for one in policies if (one.judges_egress if outwards else one.judges_ingress)]


def matched(
    project: ProjectIntent,
    policy: NetworkPolicy,
    peer: IPv4Address,
    peer_groups: tuple[str, ...],
    protocol: int,
    port: int,
) -> PolicyRule | None:
    """The first rule of one policy that matches."""
    rules = (one for one in policy.rules if is_service(one, protocol, port))
    return next((one for one in rules if is_peer(project, one, peer, peer_groups)), None)


def target_of(project: ProjectIntent, policy: NetworkPolicy) -> IPv4Network | None:
    whose = project.subnets.get(policy.subnet) if policy.subnet else project.vpc
    return whose.cidr if whose and isinstance(whose.cidr, IPv4Network) else None


def is_peer(project: ProjectIntent, rule: PolicyRule, peer: IPv4Address, groups: tuple[str, ...]) -> bool:
    match rule.peer:
        case IPv4Network() as network:
            return peer in network
        case GroupRef() as group:
            return str(group) in groups
        case SubnetRef(name):
            return name in project.subnets and peer in project.subnets[name].cidr
        case _:
            return False


def is_service(rule: PolicyRule | Rule, protocol: int, port: int) -> bool:
    """ALL with ports means the protocols that have ports."""
    if rule.protocol is Protocol.ALL:
        is_protocol = rule.ports is None or protocol in (TCP, UDP)
    else:
        is_protocol = protocol == _NUMBERS[rule.protocol]
    return is_protocol and (rule.ports is None or rule.ports.min <= port <= rule.ports.max)


def _services(rule: PolicyRule) -> tuple[tuple[Span, Span], ...]:
    ports = (rule.ports.min, rule.ports.max) if rule.ports else TRANSPORT_PORTS
    if rule.protocol is not Protocol.ALL:
        number = _NUMBERS[rule.protocol]
        return (((number, number), ports),)
    return (((TCP, TCP), ports), ((UDP, UDP), ports)) if rule.ports else ((PROTOCOLS, TRANSPORT_PORTS),)


def _flows(own: Span, peer: Span, *, outwards: bool) -> Boxes:
    """Between own addresses and a peer's, in the direction that is judged."""
    if _NOBODY in (own, peer):
        return NOTHING
    return (Box(source=own, destination=peer),) if outwards else (Box(source=peer, destination=own),)
