"""The reach of a project, kept up to date: a change does again only the pairs of classes that it touches."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from ipaddress import IPv4Network

from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Rule
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
    NOWHERE,
    NUMBERS,
    address_of,
    dnats_of,
    guarded,
    snat_of,
)
from weftwork.verifier.opened import (
    SETS_REMEMBERED_MAX,
    PacketSets,
    PeerBox,
    ReachClass,
    Side,
    coming_from,
    opened_by,
    towards,
)
from weftwork.verifier.policies import policy_sets, span_of
from weftwork.verifier.reach import Forward, Groups, Member, Pair, Reach, exactly, point

_OF_POLICIES = frozenset({"network-policy", "subnet", "vpc"})
NOWHERE_SPANS = tuple(map(span_of, NOWHERE))


class ReachIndex:
    """The reach of one project, kept up to date at the cost of each change.

    It reads the ProjectIntent that it was given: change that, and then say what changed. `routed` are the ranges of
    the VPC's peers, which are not outside.
    """

    def __init__(self, project: ProjectIntent, routed: Iterable[IPv4Network] = ()) -> None:
        self._project = project
        self._routed = frozenset(routed)
        self._sets = PacketSets()
        self._vpc: Span = ADDRESSES
        self._classes: dict[Groups, ReachClass] = {}
        self._in_group: defaultdict[str, set[Groups]] = defaultdict(set)
        self._naming_out: defaultdict[str, set[Groups]] = defaultdict(set)
        self._naming_in: defaultdict[str, set[Groups]] = defaultdict(set)
        self._port_class: dict[str, tuple[Groups, Member]] = {}
        self._port_at: dict[int, str] = {}
        self._named: dict[Pair, Boxes] = {}
        self._targets: defaultdict[Groups, set[Groups]] = defaultdict(set)
        self._sources: defaultdict[Groups, set[Groups]] = defaultdict(set)
        self._outside: Boxes = EVERYTHING
        self._outwards: dict[Groups, Boxes] = {}
        self._forwards: dict[str, Forward] = {}
        self._policies = policy_sets(project)
        self._left: dict[tuple[int, int, int], tuple[Boxes, Boxes]] = {}
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
        """As it is now."""
        classes, boxes = self._classes.items(), self._sets.boxes
        return Reach(
            members={groups: tuple(one.members) for groups, one in classes},
            out={groups: boxes(one.out.inside) for groups, one in classes},
            into={groups: boxes(one.into.inside) for groups, one in classes},
            named=dict(self._named),
            outwards=dict(self._outwards),
            forwards=dict(self._forwards),
            policies=self._policies,
        )

    @property
    def classes(self) -> Set[Groups]:
        return self._classes.keys()

    @property
    def forwards(self) -> Mapping[str, Forward]:
        return self._forwards

    @property
    def sets_remembered(self) -> int:
        """It grows with every rule that ever was: a new index begins anew."""
        return self._sets.count

    def members(self, groups: Groups) -> Sequence[Member]:
        """By address; changes with the index."""
        one = self._classes.get(groups)
        return one.members if one else ()

    def place_of(self, port_id: str) -> tuple[Groups, Member] | None:
        """The class of an attached port."""
        return self._port_class.get(port_id)

    @property
    def vpc(self) -> Span:
        return self._vpc

    @property
    def outside(self) -> Boxes:
        """Every packet to an address that is outside: neither the VPC's nor one of its own out there."""
        return self._outside

    def holds(self, address: int) -> bool:
        """Whether an attached port has the address."""
        return address in self._port_at

    def outwards(self, groups: Groups) -> Boxes:
        return self._outwards.get(groups, NOTHING)

    def between(self, source: Groups, destination: Groups) -> Boxes:
        opened = self._opened(source, destination)
        if self._policies.is_empty or not opened:
            return opened
        # Many pairs of classes share few sets. What an id stands for is kept with it.
        out, into = self._policies.denied_out(destination), self._policies.denied_in(source)
        key = (id(opened), id(out), id(into))
        if key not in self._left:
            if len(self._left) > SETS_REMEMBERED_MAX:
                self._left.clear()
            self._left[key] = (opened, subtract(subtract(opened, out), into))
        return self._left[key][1]

    def _opened(self, source: Groups, destination: Groups) -> Boxes:
        named = self._named.get((source, destination))
        if named is not None:
            return named
        one, other = self._classes.get(source), self._classes.get(destination)
        return self._sets.boxes(self._sets.both(one.out.inside, other.into.inside)) if one and other else NOTHING

    def update(self, keys: Iterable[ThingKey]) -> frozenset[Groups]:
        """After these things were made, changed or deleted: the classes whose reach may differ, on either side.

        A port that comes into a class that exists, or leaves others behind in it, changes the reach of no class.
        """
        keys = tuple(keys)
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
        self._refresh(touched)
        if any(key.kind in _OF_POLICIES for key in keys):
            touched |= self._read_policies()
        self._translate()
        return frozenset(touched)

    @property
    def routed(self) -> frozenset[IPv4Network]:
        return self._routed

    def route(self, routed: Iterable[IPv4Network]) -> None:
        """These are the ranges of the peers now."""
        ranges = frozenset(routed)
        if ranges != self._routed:
            self._routed = ranges
            self._translate()

    @property
    def inside(self) -> tuple[Span, ...]:
        """What is never outside, nor comes from there."""
        return (self._vpc, *sorted(map(span_of, self._routed)), *NOWHERE_SPANS)

    def _read_policies(self) -> set[Groups]:
        """The classes with a port that a policy is for that came, changed or went."""
        before, self._policies = self._policies, policy_sets(self._project)
        self._left.clear()
        spans = before.spans_of_change(self._policies)
        return {groups for groups, one in self._classes.items() if any(_is_among(one.members, span) for span in spans)}

    def _read_vpc(self) -> None:
        vpc = self._project.vpc
        self._vpc = span_of(vpc.cidr) if vpc and isinstance(vpc.cidr, IPv4Network) else ADDRESSES

    def _update_port(self, port_id: str) -> set[Groups]:
        """The classes that came, and those that are empty now."""
        maybe: set[Groups] = set()
        if port_id in self._port_class:
            groups, member = self._port_class.pop(port_id)
            members = self._classes[groups].members
            del members[bisect_left(members, member)]
            if self._port_at[member[0]] == port_id:  # else another port has the address by now
                del self._port_at[member[0]]
            maybe.add(groups)
        port = self._project.ports.get(port_id)
        if port:
            self._place(port)
            maybe.add(port.groups)
        found = {groups: one for groups in maybe if (one := self._classes.get(groups))}
        return {groups for groups, one in found.items() if not (one.is_open and one.members)}

    def _place(self, port: Port) -> None:
        address = address_of(port)
        if address is None or port.attachment is None or port.lender:
            return
        member = (int(address), port.id)
        if port.groups not in self._classes:
            self._classes[port.groups] = ReachClass()
            for group in port.groups:
                self._in_group[group].add(port.groups)
        insort(self._classes[port.groups].members, member)
        self._port_class[port.id] = (port.groups, member)
        self._port_at[member[0]] = port.id

    def _close(self, groups: Groups) -> "tuple[Side | None, Side | None]":
        """Forget the rules of a class, and the class itself when it has no ports; what they were, None when new."""
        one = self._classes[groups]
        before = (one.out, one.into) if one.is_open else (None, None)
        for name in one.out.by_group:
            self._naming_out[name].discard(groups)
        for name in one.into.by_group:
            self._naming_in[name].discard(groups)
        if not one.members:
            del self._classes[groups]
            for group in groups:
                self._in_group[group].discard(groups)
        return before

    def _open(self, groups: Groups) -> None:
        """Read the rules of a class."""
        found = [group for name in groups if (group := self._project.groups.get(name))]
        one = self._classes[groups]
        one.out = self._side((rule for group in found for rule in group.egress), towards)
        one.into = self._side((rule for group in found for rule in group.ingress), coming_from)
        one.is_open = True
        for name in one.out.by_group:
            self._naming_out[name].add(groups)
        for name in one.into.by_group:
            self._naming_in[name].add(groups)

    def _side(self, rules: Iterable[Rule], peer: "PeerBox") -> "Side":
        networks: list[Box] = []
        by_group: defaultdict[str, list[Box]] = defaultdict(list)
        for rule in rules:
            match rule.peer:
                case IPv4Network() as network:
                    networks += (peer(span_of(network), *service) for service in opened_by(rule))
                case GroupRef() as group:
                    by_group[str(group)] += (peer(self._vpc, *service) for service in opened_by(rule))
        inside = (peer(self._vpc, PROTOCOLS, TRANSPORT_PORTS),)
        everywhere = self._sets.number(union(networks))
        return Side(
            everywhere=everywhere,
            inside=self._sets.both(everywhere, self._sets.number(inside)),
            by_group={name: self._sets.number(union(boxes)) for name, boxes in by_group.items()},
        )

    def _fill_column(self, destination: Groups) -> None:
        """Every pair that ends in a class and of which one side names the other."""
        named = (self._in_group.get(name, ()) for name in self._classes[destination].into.by_group)
        naming = (self._naming_out.get(name, ()) for name in destination)
        for source in set[Groups]().union(*named, *naming):
            self._set_pair(source, destination)

    def _fill_row(self, source: Groups) -> None:
        named = (self._in_group.get(name, ()) for name in self._classes[source].out.by_group)
        naming = (self._naming_in.get(name, ()) for name in source)
        for destination in set[Groups]().union(*named, *naming):
            self._set_pair(source, destination)

    def _set_pair(self, source: Groups, destination: Groups) -> None:
        out = self._classes[source].out.towards(destination, self._sets)
        into = self._classes[destination].into.towards(source, self._sets)
        both = self._sets.both(out, into)
        if both:
            self._named[source, destination] = self._sets.boxes(both)
            self._targets[source].add(destination)
            self._sources[destination].add(source)

    def _refresh(self, touched: set[Groups]) -> None:
        """Read the rules of these classes again, and do those sides again that differ."""
        before = {groups: self._close(groups) for groups in touched}
        present = [groups for groups in touched if groups in self._classes]
        for groups in present:
            self._open(groups)
        rows = [groups for groups in touched if self._sides(groups)[0] != before[groups][0]]
        columns = [groups for groups in touched if self._sides(groups)[1] != before[groups][1]]
        for groups in rows:
            self._forget_row(groups)
        for groups in columns:
            self._forget_column(groups)
        for groups in rows:
            if groups in self._classes:
                self._fill_row(groups)
        for groups in columns:
            if groups in self._classes:
                self._fill_column(groups)

    def _sides(self, groups: Groups) -> "tuple[Side | None, Side | None]":
        one = self._classes.get(groups)
        return (one.out, one.into) if one else (None, None)

    def _forget_row(self, groups: Groups) -> None:
        for other in self._targets.pop(groups, ()):
            del self._named[groups, other]
            self._sources[other].discard(groups)

    def _forget_column(self, groups: Groups) -> None:
        for other in self._sources.pop(groups, ()):
            del self._named[other, groups]
            self._targets[other].discard(groups)

    def _translate(self) -> None:
        """Everything that NAT does; its cost goes by classes and DNATs."""
        external = {one.external_ip for one in dnats_of(self._project)}
        snat = snat_of(self._project)
        self._outwards, self._forwards = {}, {}
        own = {point(int(address)) for address in (external | {snat} if snat else external)}
        self._outside = subtract(EVERYTHING, tuple(Box(destination=span) for span in (*self.inside, *own)))
        if snat:
            number = self._sets.number(self._outside)
            for groups, one in self._classes.items():
                opened = self._sets.boxes(self._sets.both(one.out.everywhere, number))
                allowed = subtract(opened, self._policies.denied_out())
                if allowed:
                    self._outwards[groups] = allowed
        for dnat in dnats_of(self._project):
            target = self._port_at.get(int(dnat.internal_ip))
            if target:
                groups, _ = self._port_class[target]
                self._forwards[dnat.name] = Forward(dnat, target, groups, self._comers(dnat, groups))

    def _comers(self, dnat: Dnat, groups: Groups) -> Boxes:
        """Who may use a DNAT from outside. A group is never a source there: its members are inside."""
        if guarded(NUMBERS[dnat.protocol], 0, dnat.internal_port):
            return NOTHING
        opened = self._sets.boxes(self._classes[groups].into.everywhere)
        inner = exactly(dnat.internal_ip, dnat.protocol, dnat.internal_port)
        allowed = subtract(intersect(opened, (inner,)), self._policies.denied_in())
        outer = exactly(dnat.external_ip, dnat.protocol, dnat.external_port)
        sources = union(outer._replace(source=box.source) for box in allowed)
        return subtract(sources, tuple(Box(source=span) for span in self.inside))


def reach(project: ProjectIntent, routed: Iterable[IPv4Network] = ()) -> Reach:
    """Who reaches whom. To follow changes, keep a ReachIndex."""
    return ReachIndex(project, routed).reach


def _is_among(members: Sequence[Member], span: Span) -> bool:
    """Has one of them, by address, an address of the span?"""
    at = bisect_left(members, (span[0], ""))
    return at < len(members) and members[at][0] <= span[1]
