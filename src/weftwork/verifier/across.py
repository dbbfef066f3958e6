"""Who reaches whom between two peered VPCs: the sender's groups judge it there, the receiver's here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import product

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.security_group import GroupRef, Rule
from weftwork.verifier.boxes import Box, Boxes, Span, intersect, subtract, union
from weftwork.verifier.model import address_of
from weftwork.verifier.opened import opened_by
from weftwork.verifier.policies import PolicySets, policy_sets, span_of
from weftwork.verifier.reach import Groups, Member, Pair, Reach


def across(intent: Intent, one: ProjectKey, other: ProjectKey) -> Reach:
    """In both directions; nothing where the two are not peered.

    Names of groups have their project before them. A class begins with its project alone, so that ports without
    groups have one for each project.
    """
    here, there = intent.get(one), intent.get(other)
    if here is None or there is None or other not in here.peerings or one not in there.peerings:
        return Reach()
    ends = (end_of(one, here, one, vpc_span(here)), end_of(other, there, other, vpc_span(there)))
    ways = [Way(sender, receiver) for sender, receiver in (ends, ends[::-1])]
    return Reach(
        members={groups: members for end in ends for groups, members in end.members.items()},
        out={groups: side.anybody for way in ways for groups, side in way.out.items()},
        into={groups: side.anybody for way in ways for groups, side in way.into.items()},
        named={pair: boxes for way in ways for pair, boxes in way.named()},
    )


@dataclass(frozen=True, slots=True)
class End:
    owner: ProjectKey
    project: ProjectIntent
    span: Span
    members: dict[Groups, tuple[Member, ...]]
    policies: PolicySets
    """Their groups are those of the end itself: at the other end nobody has any."""

    def rules(self, groups: Groups, *, outwards: bool) -> Iterator[Rule]:
        """Of the groups of a class."""
        names = (name.rpartition("/")[2] for name in groups)
        for group in (self.project.groups.get(name) for name in names):
            if group is not None:
                yield from group.egress if outwards else group.ingress


@dataclass(frozen=True, slots=True)
class Side:
    """What a class opens: to addresses, whoever has them, and to members of groups of the other end."""

    anybody: Boxes
    by_group: dict[str, Boxes]

    def without(self, denied: Boxes) -> "Side":
        named = {name: subtract(boxes, denied) for name, boxes in self.by_group.items()}
        return Side(subtract(self.anybody, denied), named)

    def towards(self, peer: Groups) -> Boxes:
        named = [box for name in peer for box in self.by_group.get(name, ())]
        return union((*self.anybody, *named)) if named else self.anybody


class Way:
    """From one end to the other."""

    def __init__(self, sender: End, receiver: End) -> None:
        whole = Box(source=sender.span, destination=receiver.span)
        denied_out, denied_in = sender.policies.denied_out(), receiver.policies.denied_in()
        self.out = {
            groups: side_of(sender.rules(groups, outwards=True), whole, sender.owner, is_destination=True).without(
                denied_out
            )
            for groups in sender.members
        }
        self.into = {
            groups: side_of(
                receiver.rules(groups, outwards=False), whole, receiver.owner, is_destination=False
            ).without(denied_in)
            for groups in receiver.members
        }

    def named(self) -> Iterator[tuple[Pair, Boxes]]:
        """The pairs of which one side names a group of the other, and that something passes."""
        for (source, destination), boxes in self.passing():
            names, named = self.out[source].by_group.keys(), self.into[destination].by_group.keys()
            if names & set(destination) or named & set(source):
                yield (source, destination), boxes

    def passing(self) -> Iterator[tuple[Pair, Boxes]]:
        """Every pair that something passes."""
        for (source, out), (destination, into) in product(self.out.items(), self.into.items()):
            boxes = intersect(out.towards(destination), into.towards(source))
            if boxes:
                yield (source, destination), boxes


def end_of(owner: ProjectKey, project: ProjectIntent, home: ProjectKey, span: Span) -> End:
    """The owner's ports in the VPC of `home`."""
    members: defaultdict[Groups, list[Member]] = defaultdict(list)
    for port in project.ports.values():
        address = address_of(port)
        if address is not None and port.attachment is not None and port.home == home:
            groups = (f"{owner}/", *(f"{owner}/{name}" for name in port.groups))
            members[groups].append((int(address), port.id))
    classes = {groups: tuple(sorted(some)) for groups, some in members.items()}
    policies = policy_sets(project if home == owner else ProjectIntent())
    return End(owner, project, span, classes, policies)


def vpc_span(project: ProjectIntent) -> Span:
    assert project.vpc is not None and isinstance(project.vpc.cidr, IPv4Network), "what can be reached stands on a VPC"
    return span_of(project.vpc.cidr)


def side_of(rules: Iterable[Rule], whole: Box, judge: ProjectKey, *, is_destination: bool) -> Side:
    """What rules of `judge` open of the packets in `whole`."""
    anybody: list[Box] = []
    by_group: defaultdict[str, list[Box]] = defaultdict(list)
    for rule in rules:
        services = [whole._replace(protocol=protocol, port=port) for protocol, port in opened_by(rule)]
        match rule.peer:
            case IPv4Network() as network:
                span = span_of(network)
                place = Box(destination=span) if is_destination else Box(source=span)
                anybody += intersect(tuple(services), (place,))
            case GroupRef(name, owner):
                by_group[f"{owner or judge}/{name}"] += services
    return Side(union(anybody), {name: union(boxes) for name, boxes in by_group.items()})
