"""All pairs at once: which packets pass between which ports of a VPC, and between them and the outside.

Ports with the same security groups are one class, and answers are sets of packets; so the work goes by classes, not by
ports. A change does again only the pairs of classes that it touches.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.verifier.boxes import (
    ADDRESSES,
    EVERYTHING,
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
from weftwork.verifier.model import (
    DHCP_CLIENT,
    NOWHERE,
    NUMBERS,
    TUNNEL_PORTS,
    TUNNEL_PROTOCOLS,
    address_of,
    dnats_of,
    snat_of,
)
from weftwork.verifier.packet import TCP, UDP

Groups = tuple[str, ...]
"""A class: the groups that its ports have, sorted."""

Member = tuple[int, str]
"""An attached port: its address as a number, and its id."""

Pair = tuple[Groups, Groups]

NEVER_FROM_GUESTS: Boxes = (
    *(Box(protocol=(number, number)) for number in sorted(TUNNEL_PROTOCOLS)),
    *(Box(protocol=(UDP, UDP), port=(port, port)) for port in sorted({*TUNNEL_PORTS, DHCP_CLIENT})),
)
"""What no port lets its guest send, whatever the rules say; it is not taken out of the sets below."""

_SETS_REMEMBERED_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Forward:
    """A DNAT whose internal address is an attached port's. `sources`: who may come from outside, as they send it."""

    dnat: Dnat
    target: str
    groups: Groups
    sources: Boxes


@dataclass(frozen=True, slots=True)
class Reach:
    """Who reaches whom in one project. Sets hold packets as their senders send them.

    `pairs` are between classes, by the ports' own addresses (a port does not reach itself); only pairs that something
    passes. `outwards` is what the class's ports may send to the outside, `forwards` are its DNATs by name.
    """

    members: Mapping[Groups, tuple[Member, ...]] = field(default_factory=dict)
    pairs: Mapping[Pair, Boxes] = field(default_factory=dict)
    outwards: Mapping[Groups, Boxes] = field(default_factory=dict)
    forwards: Mapping[str, Forward] = field(default_factory=dict)

    def between(self, source: Groups, destination: Groups) -> Boxes:
        return self.pairs.get((source, destination), NOTHING)

    def hairpin(self, source: Groups, name: str) -> Boxes:
        """What ports of a class may send to a DNAT of their own VPC."""
        forward = self.forwards[name]
        inner = _exactly(forward.dnat.internal_ip, forward.dnat.protocol, forward.dnat.internal_port)
        outer = _exactly(forward.dnat.external_ip, forward.dnat.protocol, forward.dnat.external_port)
        allowed = intersect(self.between(source, forward.groups), (inner,))
        return tuple(outer._replace(source=box.source) for box in allowed)


class ReachIndex:
    """The reach of one project, kept up to date at the cost of each change.

    It reads the ProjectIntent that it was given: change that, and then say what changed.
    """

    def __init__(self, project: ProjectIntent) -> None:
        self._project = project
        self._sets = _Sets()
        self._vpc: Span = ADDRESSES
        self._classes: dict[Groups, _Class] = {}
        self._in_group: defaultdict[str, set[Groups]] = defaultdict(set)
        self._port_class: dict[str, tuple[Groups, Member]] = {}
        self._port_at: dict[int, str] = {}
        self._pairs: dict[Pair, Boxes] = {}
        self._targets: defaultdict[Groups, set[Groups]] = defaultdict(set)
        self._sources: defaultdict[Groups, set[Groups]] = defaultdict(set)
        self._outwards: dict[Groups, Boxes] = {}
        self._forwards: dict[str, Forward] = {}
        self._read_vpc()
        for port in project.ports.values():
            self._place(port)
        for groups in self._classes:
            self._open(groups)
        for groups in self._classes:
            self._fill_column(groups)
        self._translate()

    @property
    def reach(self) -> Reach:
        members = {groups: tuple(one.members) for groups, one in self._classes.items()}
        return Reach(members, dict(self._pairs), dict(self._outwards), dict(self._forwards))

    def between(self, source: Groups, destination: Groups) -> Boxes:
        return self._pairs.get((source, destination), NOTHING)

    def update(self, keys: Iterable[ThingKey]) -> dict[Pair, tuple[Boxes, Boxes]]:
        """After these things were made, changed or deleted: the pairs of classes that differ, before and now."""
        touched: set[Groups] = set()
        for key in keys:
            match key.kind:
                case "port":
                    touched |= self._update_port(key.name)
                case "security-group":
                    touched |= self._in_group[key.name]
                case "vpc":
                    self._read_vpc()
                    touched |= self._classes.keys()
        changed = self._refresh(touched)
        self._translate()
        return changed

    def _read_vpc(self) -> None:
        vpc = self._project.vpc
        self._vpc = _span(vpc.cidr) if vpc and isinstance(vpc.cidr, IPv4Network) else ADDRESSES

    def _update_port(self, port_id: str) -> set[Groups]:
        """The classes that came or went."""
        before = set(self._classes)
        if port_id in self._port_class:
            groups, member = self._port_class.pop(port_id)
            self._classes[groups].members.remove(member)
            del self._port_at[member[0]]
            self._drop_if_empty(groups)
        port = self._project.ports.get(port_id)
        if port:
            self._place(port)
        return before ^ self._classes.keys()

    def _place(self, port: Port) -> None:
        address = address_of(port)
        if address is None or port.attachment is None:
            return
        member = (int(address), port.id)
        if port.groups not in self._classes:
            self._classes[port.groups] = _Class()
            for group in port.groups:
                self._in_group[group].add(port.groups)
        insort(self._classes[port.groups].members, member)
        self._port_class[port.id] = (port.groups, member)
        self._port_at[member[0]] = port.id

    def _drop_if_empty(self, groups: Groups) -> None:
        if not self._classes[groups].members:
            del self._classes[groups]
            for group in groups:
                self._in_group[group].discard(groups)

    def _open(self, groups: Groups) -> None:
        """Read the rules of a class again."""
        found = [group for name in groups if (group := self._project.groups.get(name))]
        self._classes[groups].out = self._side((rule for group in found for rule in group.egress), _towards)
        self._classes[groups].into = self._side((rule for group in found for rule in group.ingress), _from)

    def _side(self, rules: Iterable[Rule], peer: "_PeerBox") -> "_Side":
        networks: list[Box] = []
        by_group: defaultdict[str, list[Box]] = defaultdict(list)
        for rule in rules:
            match rule.peer:
                case IPv4Network() as network:
                    networks += (peer(_span(network), *service) for service in _services(rule))
                case GroupRef(name):
                    by_group[name] += (peer(self._vpc, *service) for service in _services(rule))
        inside = (peer(self._vpc, PROTOCOLS, TRANSPORT_PORTS),)
        everywhere = self._sets.number(union(networks))
        return _Side(
            everywhere=everywhere,
            inside=self._sets.both(everywhere, self._sets.number(inside)),
            by_group={name: self._sets.number(union(boxes)) for name, boxes in by_group.items()},
        )

    def _fill_column(self, destination: Groups) -> None:
        """Every pair that ends in a class: only from classes that its rules speak of."""
        into = self._classes[destination].into
        sources = (
            self._classes.keys()
            if into.inside
            else set[Groups]().union(*(self._in_group.get(name, ()) for name in into.by_group))
        )
        for source in sources:
            self._set_pair(source, destination)

    def _fill_row(self, source: Groups) -> None:
        out = self._classes[source].out
        destinations = (
            self._classes.keys()
            if out.inside
            else set[Groups]().union(*(self._in_group.get(name, ()) for name in out.by_group))
        )
        for destination in destinations:
            self._set_pair(source, destination)

    def _set_pair(self, source: Groups, destination: Groups) -> None:
        out = self._classes[source].out.towards(destination, self._sets)
        if not out:
            return
        into = self._classes[destination].into.towards(source, self._sets)
        both = self._sets.both(out, into)
        if both:
            self._pairs[source, destination] = self._sets.boxes(both)
            self._targets[source].add(destination)
            self._sources[destination].add(source)

    def _refresh(self, touched: set[Groups]) -> dict[Pair, tuple[Boxes, Boxes]]:
        before: dict[Pair, Boxes] = {}
        for groups in touched:
            before.update({pair: self._pairs.pop(pair) for pair in list(self._pairs_of(groups)) if pair in self._pairs})
        for groups in touched:
            self._forget_pairs_of(groups)
        present = [groups for groups in touched if groups in self._classes]
        for groups in present:
            self._open(groups)
        for groups in present:
            self._fill_row(groups)
            self._fill_column(groups)
        now = {pair: self._pairs[pair] for groups in present for pair in self._pairs_of(groups)}
        pairs = before.keys() | now.keys()
        both = {pair: (before.get(pair, NOTHING), now.get(pair, NOTHING)) for pair in pairs}
        return {pair: (old, new) for pair, (old, new) in both.items() if old != new}

    def _pairs_of(self, groups: Groups) -> Iterator[Pair]:
        yield from ((groups, other) for other in self._targets.get(groups, ()))
        yield from ((other, groups) for other in self._sources.get(groups, ()) if other != groups)

    def _forget_pairs_of(self, groups: Groups) -> None:
        for other in self._targets.pop(groups, ()):
            self._sources[other].discard(groups)
        for other in self._sources.pop(groups, ()):
            self._targets[other].discard(groups)

    def _translate(self) -> None:
        """Everything that NAT does; its cost goes by classes and DNATs."""
        external = {one.external_ip for one in dnats_of(self._project)}
        snat = snat_of(self._project)
        self._outwards, self._forwards = {}, {}
        if snat:
            own = {_point(int(address)) for address in external | {snat}}
            outside = subtract(EVERYTHING, tuple(Box(destination=span) for span in (self._vpc, *_NOWHERE_SPANS, *own)))
            number = self._sets.number(outside)
            for groups, one in self._classes.items():
                allowed = self._sets.both(one.out.everywhere, number)
                if allowed:
                    self._outwards[groups] = self._sets.boxes(allowed)
        for dnat in dnats_of(self._project):
            target = self._port_at.get(int(dnat.internal_ip))
            if target:
                groups, _ = self._port_class[target]
                self._forwards[dnat.name] = Forward(dnat, target, groups, self._comers(dnat, groups))

    def _comers(self, dnat: Dnat, groups: Groups) -> Boxes:
        """Who may use a DNAT from outside. A group is never a source there: its members are inside."""
        allowed = self._sets.boxes(self._classes[groups].into.everywhere)
        inner = _exactly(None, dnat.protocol, dnat.internal_port)
        outer = _exactly(dnat.external_ip, dnat.protocol, dnat.external_port)
        sources = union(outer._replace(source=box.source) for box in intersect(allowed, (inner,)))
        return subtract(sources, tuple(Box(source=span) for span in (self._vpc, *_NOWHERE_SPANS)))


def reach(project: ProjectIntent) -> Reach:
    """Who reaches whom. To follow changes, keep a ReachIndex."""
    return ReachIndex(project).reach


class _Sets:
    """Sets of packets by number, so that equal ones are met once. 0 is the empty set."""

    def __init__(self) -> None:
        self._numbers: dict[Boxes, int] = {}
        self._boxes: list[Boxes] = []
        self._met: dict[tuple[int, int], int] = {}
        self._joined: dict[tuple[int, ...], int] = {}
        self.number(NOTHING)

    def number(self, boxes: Boxes) -> int:
        number = self._numbers.get(boxes)
        if number is None:
            number = self._numbers[boxes] = len(self._boxes)
            self._boxes.append(boxes)
        return number

    def boxes(self, number: int) -> Boxes:
        return self._boxes[number]

    def both(self, a: int, b: int) -> int:
        if not (a and b):
            return 0
        met = self._met.get((a, b))
        if met is None:
            if len(self._met) > _SETS_REMEMBERED_MAX:
                self._met.clear()
            met = self._met[a, b] = self.number(intersect(self._boxes[a], self._boxes[b]))
        return met

    def any_of(self, numbers: tuple[int, ...]) -> int:
        if len(numbers) == 1:
            return numbers[0]
        joined = self._joined.get(numbers)
        if joined is None:
            if len(self._joined) > _SETS_REMEMBERED_MAX:
                self._joined.clear()
            joined = self._joined[numbers] = self.number(union(box for one in numbers for box in self._boxes[one]))
        return joined


@dataclass(slots=True)
class _Side:
    """What a class opens in one direction: to addresses anywhere, to addresses of the VPC, to members of groups."""

    everywhere: int = 0
    inside: int = 0
    by_group: Mapping[str, int] = field(default_factory=dict)

    def towards(self, peer: Groups, sets: _Sets) -> int:
        by_group = self.by_group
        named = [by_group[name] for name in peer if name in by_group] if by_group else ()
        return sets.any_of((self.inside, *named)) if named else self.inside


@dataclass(slots=True)
class _Class:
    members: list[Member] = field(default_factory=list)
    out: _Side = field(default_factory=_Side)
    into: _Side = field(default_factory=_Side)


class _PeerBox:
    """A rule's packets: its peer is the destination of what goes out, the source of what comes in."""

    def __init__(self, *, is_destination: bool) -> None:
        self._is_destination = is_destination

    def __call__(self, peer: Span, protocol: Span, port: Span) -> Box:
        if self._is_destination:
            return Box(destination=peer, protocol=protocol, port=port)
        return Box(source=peer, protocol=protocol, port=port)


_towards, _from = _PeerBox(is_destination=True), _PeerBox(is_destination=False)


def _services(rule: Rule) -> tuple[tuple[Span, Span], ...]:
    """The protocols and ports that a rule opens."""
    ports = (rule.ports.min, rule.ports.max) if rule.ports else TRANSPORT_PORTS
    if rule.protocol is not Protocol.ALL:
        return ((_point(NUMBERS[rule.protocol]), ports),)
    return ((_point(TCP), ports), (_point(UDP), ports)) if rule.ports else ((PROTOCOLS, TRANSPORT_PORTS),)


def _exactly(destination: object, protocol: Protocol, port: int) -> Box:
    """One service, at one IPv4 address or (None) at any."""
    where = _point(int(destination)) if isinstance(destination, IPv4Address) else ADDRESSES
    return Box(destination=where, protocol=_point(NUMBERS[protocol]), port=_point(port))


def _span(network: IPv4Network) -> Span:
    return (int(network.network_address), int(network.broadcast_address))


def _point(value: int) -> Span:
    return (value, value)


_NOWHERE_SPANS = tuple(map(_span, NOWHERE))
