"""What would let a packet pass that does not: steps for each reason that stops it. Whether they suffice is for the
model to say; what they open, for `opening.py`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import Action, PolicyRule
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.verifier.edits import (
    AddRule,
    AllowInPolicy,
    AttachPort,
    CreateDnat,
    CreateGroup,
    CreateSnat,
    Direction,
    Edit,
    JoinGroup,
)
from weftwork.verifier.hops import Station, of_policy
from weftwork.verifier.model import NUMBERS, address_of
from weftwork.verifier.question import Question
from weftwork.verifier.reasons import Reason, ReasonCode
from weftwork.verifier.route import Route, Way

GROUPS_MAX, RULES_MAX = 16, 200
"""Of a port, and of a group in each direction: what the API accepts."""

CHOICES_MAX = 4
"""Per reason. The ones that open least are kept."""
JOINS_MAX = 2

PROTOCOLS = {number: protocol for protocol, number in NUMBERS.items()}
ANYWHERE = IPv4Network("0.0.0.0/0")

Steps = tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`width` is at most how many pairs it opens something for, roughly: to choose what to look at closely."""

    steps: Steps
    width: int


class Remedies:
    """For one question. `sizes` are the members of each group; `spare` is a free external address, if there is one."""

    def __init__(self, question: Question, whole: ProjectIntent, spare: IPv4Address | None) -> None:
        self._question = question
        self._spare = spare
        self._ports = len(whole.ports)
        self._sizes = Counter(name for port in whole.ports.values() for name in port.groups)

    def choices(self, project: ProjectIntent, route: Route, reason: Reason) -> list[Choice]:
        """Empty when nothing the project can do would help."""
        match reason.code:
            case ReasonCode.NO_EGRESS_RULE:
                found = self._rules(project, route, Direction.EGRESS)
            case ReasonCode.NO_INGRESS_RULE:
                found = self._rules(project, route, Direction.INGRESS)
            case ReasonCode.SENDER_NOT_ATTACHED | ReasonCode.RECEIVER_NOT_ATTACHED:
                end = route.sender if reason.code is ReasonCode.SENDER_NOT_ATTACHED else route.receiver
                found = iter([Choice((AttachPort(end.id),), self._ports)] if end else [])
            case ReasonCode.POLICY_DENIED | ReasonCode.ISOLATED:
                found = self._exception(project, route, reason.thing)
            case ReasonCode.NO_SNAT:
                found = self._snat(project)
            case ReasonCode.NO_DNAT:
                found = self._dnat(project, route)
            case _:
                found = iter(())
        return sorted(found, key=lambda one: (len(one.steps), one.width))[:CHOICES_MAX]

    def _rules(self, project: ProjectIntent, route: Route, direction: Direction) -> Iterator[Choice]:
        port = route.end(direction)
        if port is None:
            return
        other = route.end(_OTHER[direction])
        own = [group for name in port.groups if (group := project.groups.get(name))]
        roomy = [group for group in own if len(rules_of(group, direction)) < RULES_MAX]
        for group in roomy:
            yield from self._new_rules(route, direction, group.name, other)
        for group in own:
            yield from self._widened(route, direction, group)
        joins = [*self._joins(project, route, direction, port)]
        if other is not None and route.way is not Way.INWARDS:
            joins += self._joins_of_peer(project, route, direction, port, other)
        yield from joins
        if not roomy and not joins and len(port.groups) < GROUPS_MAX:
            name = _free_name(project, self._question, direction)
            rule = Rule(*self._service(route), self._peer(route, direction))
            yield Choice((CreateGroup(name, direction, rule), JoinGroup(port.id, name)), 1)

    def _new_rules(self, route: Route, direction: Direction, group: str, other: Port | None) -> Iterator[Choice]:
        """A rule for the peer alone, or for a group that the peer is in."""
        service, size = self._service(route), self._sizes[group]
        if other is not None and route.way in (Way.DIRECT, Way.HAIRPIN):
            for name in other.groups:
                yield Choice((AddRule(group, direction, Rule(*service, GroupRef(name))),), size * self._sizes[name])
        yield Choice((AddRule(group, direction, Rule(*service, self._peer(route, direction))),), size)

    def _widened(self, route: Route, direction: Direction, group: SecurityGroup) -> Iterator[Choice]:
        """A rule that would do if its range of ports were wider."""
        for rule in rules_of(group, direction):
            if rule.ports is None or not route.allowed_by(replace(rule, ports=None), direction):
                continue
            if rule.protocol is Protocol.ALL and route.protocol == NUMBERS[Protocol.ICMP]:
                continue
            wanted = route.destination_port
            wide = replace(rule, ports=PortRange(min(rule.ports.min, wanted), max(rule.ports.max, wanted)))
            peers = self._sizes[str(rule.peer)] if isinstance(rule.peer, GroupRef) else self._ports
            yield Choice((AddRule(group.name, direction, wide, instead_of=rule),), self._sizes[group.name] * peers + 1)

    def _joins(self, project: ProjectIntent, route: Route, direction: Direction, port: Port) -> Iterator[Choice]:
        """Groups that allow it, and that the port is not in."""
        if len(port.groups) >= GROUPS_MAX:
            return
        allowing = [
            group
            for name, group in project.groups.items()
            if name not in port.groups and any(route.allowed_by(rule, direction) for rule in rules_of(group, direction))
        ]
        for group in sorted(allowing, key=lambda one: (len(one.ingress) + len(one.egress), one.name))[:JOINS_MAX]:
            yield Choice((JoinGroup(port.id, group.name),), self._ports * (len(group.ingress) + len(group.egress)))

    def _joins_of_peer(
        self, project: ProjectIntent, route: Route, direction: Direction, port: Port, other: Port
    ) -> Iterator[Choice]:
        """Groups that the port's rules let in (or out to), and that the other end is not in."""
        if len(other.groups) >= GROUPS_MAX:
            return
        rules = [
            rule for name in port.groups if (group := project.groups.get(name)) for rule in rules_of(group, direction)
        ]
        names = {
            rule.peer.name
            for rule in rules
            if isinstance(rule.peer, GroupRef)
            and rule.peer.owner is None
            and rule.peer.name not in other.groups
            and route.allowed_by(replace(rule, peer=ANYWHERE), direction)
        }
        for name in sorted(names & project.groups.keys())[:JOINS_MAX]:
            group = project.groups[name]
            yield Choice((JoinGroup(other.id, name),), self._ports * (1 + len(group.ingress) + len(group.egress)))

    def _exception(self, project: ProjectIntent, route: Route, name: str) -> Iterator[Choice]:
        """For this flow alone, in the policy that decides."""
        if len(project.policies[name].rules) >= RULES_MAX:
            return
        side = Direction.EGRESS if of_policy(project, route, name) is Station.EGRESS else Direction.INGRESS
        rule = PolicyRule(Action.ALLOW, *self._service(route), self._peer(route, side))
        yield Choice((AllowInPolicy(name, rule),), self._ports)

    def _snat(self, project: ProjectIntent) -> Iterator[Choice]:
        there = project.snat.external_ip if project.snat else None
        of_dnats = sorted(one.external_ip for one in project.dnats.values() if isinstance(one.external_ip, IPv4Address))
        address = there or next(iter(of_dnats), None) or self._spare
        if isinstance(address, IPv4Address):
            yield Choice((CreateSnat(address, is_there=there is not None),), self._ports)

    def _dnat(self, project: ProjectIntent, route: Route) -> Iterator[Choice]:
        """To a guest that was named. Where an external address should lead is for a person to say."""
        target = route.receiver
        protocol = PROTOCOLS[route.protocol]
        if target is None or route.way is not Way.INWARDS or route.dnat is not None or protocol is Protocol.ICMP:
            return
        inner = address_of(target)
        if inner is None or route.destination != inner:
            return
        owner, own = self._question.project, [project.snat, *project.dnats.values()]
        addresses = [*sorted({one.external_ip for one in own if one}, key=int), self._spare]
        address = next((one for one in addresses if isinstance(one, IPv4Address)), None)
        if address is not None:
            outer = _free_port(project, address, protocol, route.destination_port)
            dnat = Dnat(owner, address, outer, protocol, inner, route.destination_port, created_at=0)
            yield Choice((CreateDnat(dnat),), 1)

    def _service(self, route: Route) -> tuple[Protocol, PortRange | None]:
        protocol = PROTOCOLS[route.protocol]
        if protocol is Protocol.ICMP:
            return protocol, None
        return protocol, PortRange(route.destination_port, route.destination_port)

    def _peer(self, route: Route, direction: Direction) -> IPv4Network:
        """The other end alone – or everybody, when it stands for everybody outside."""
        is_outside = route.way is (Way.INWARDS if direction is Direction.INGRESS else Way.OUTWARDS)
        if is_outside and self._question.anyone:
            return ANYWHERE
        return IPv4Network(route.seen_by(direction).address)


_OTHER = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}


def rules_of(group: SecurityGroup, direction: Direction) -> tuple[Rule, ...]:
    return group.ingress if direction is Direction.INGRESS else group.egress


def _free_name(project: ProjectIntent, question: Question, direction: Direction) -> str:
    service = f"{PROTOCOLS[question.protocol].value}-{question.destination_port}".removesuffix("-0")
    name = f"{service}-{'in' if direction is Direction.INGRESS else 'out'}"
    names = (name, *(f"{name}-{number}" for number in range(2, len(project.groups) + 3)))
    return next(name for name in names if name not in project.groups)


def _free_port(project: ProjectIntent, address: IPv4Address, protocol: Protocol, wanted: int) -> int:
    """The same as inside if it is free, else a like one."""
    taken = {
        one.external_port for one in project.dnats.values() if (one.external_ip, one.protocol) == (address, protocol)
    }
    ports: tuple[int, ...] = (wanted, 8000 + wanted, *range(1024, 65536))
    return next(port for port in ports if 0 < port <= 65535 and port not in taken)
