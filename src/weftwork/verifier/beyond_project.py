"""What a project is told of a packet whose other half another project judges: of its own port in a borrowed subnet, or
of somebody else's port in a subnet that it lent.

Told are whether the packet is delivered, which the packet itself would show, and the asker's own side. Whatever the
other side is like, as long as it lets the packet pass or not, the answer is the same. So no change is proposed either:
if one would help is the other side's to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Rule
from weftwork.verifier.edits import Direction
from weftwork.verifier.explain import Blocker, Explanation
from weftwork.verifier.hops import Hop, Passage, Station
from weftwork.verifier.model import Model, Peer, address_of, allows, guarded, is_one_host
from weftwork.verifier.packet import ICMP, Inside, Outside, Probe
from weftwork.verifier.policies import decided
from weftwork.verifier.question import SOURCE_PORT, Question
from weftwork.verifier.reasons import Reason, ReasonCode
from weftwork.verifier.remedies import ANYWHERE, rules_of
from weftwork.verifier.route import Route, Way
from weftwork.verifier.wording import port_text, rule_text


@dataclass(frozen=True, slots=True)
class Ends:
    """`sender` and `receiver` are the asker's own ports, one of them at least; the addresses are the packet's.

    `home` is the project in whose VPC they meet, `true_source` whoever has the source address there: for the model, and
    told to nobody.
    """

    home: ProjectKey
    sender: Port | None
    receiver: Port | None
    source: IPv4Address
    destination: IPv4Address
    true_source: Inside | Outside


def explain_beyond(intent: Intent, question: Question, ends: Ends) -> Explanation:
    source_port = 0 if question.protocol == ICMP else SOURCE_PORT
    probe = Probe(question.source, ends.destination, question.protocol, source_port, question.destination_port)
    reachable = Model(intent).verdict(replace(probe, source=ends.true_source)).delivered
    own = _OwnSide(intent[question.project], question, ends)
    stops = () if reachable else (tuple(own.stops()) or (_other_side(question, ends),))
    allowed = tuple(own.allowed())
    decides = allowed if reachable else stops
    return Explanation(
        question=question,
        probe=probe,
        route=Route(
            way=Way.BEYOND,
            sender=ends.sender,
            receiver=ends.receiver,
            source=ends.source,
            destination=ends.destination,
            protocol=question.protocol,
            destination_port=question.destination_port,
        ),
        reachable=reachable,
        hops=tuple(_hops(ends, (*stops, *allowed), reachable)),
        decides=decides,
        blockers=tuple(map(Blocker, stops)),
        changes=(),
    )


def _other_side(question: Question, ends: Ends) -> Reason:
    return Reason(ReasonCode.REFUSED_BY_OTHER_SIDE, question.project, str(ends.home))


class _OwnSide:
    """What the asker's own things say, as if nothing were known of the others but their addresses."""

    def __init__(self, project: ProjectIntent, question: Question, ends: Ends) -> None:
        self._project, self._question, self._ends = project, question, ends

    def stops(self) -> Iterator[Reason]:
        asker, ends = self._question.project, self._ends
        sender, receiver = ends.sender, ends.receiver
        if sender is not None and sender.attachment is None:
            yield Reason(ReasonCode.SENDER_NOT_ATTACHED, asker, sender.id)
        refused = guarded(self._question.protocol, SOURCE_PORT, self._question.destination_port)
        own = sender or receiver
        if refused and own:
            yield Reason(refused, asker, own.id)
        if not is_one_host(ends.destination):
            yield Reason(ReasonCode.NOT_UNICAST, asker)
        if sender is not None:
            if ends.destination == ends.source:
                yield Reason(ReasonCode.OWN_ADDRESS, asker, sender.id)
            if not self._rules(sender, Direction.EGRESS):
                yield Reason(ReasonCode.NO_EGRESS_RULE, asker, sender.id)
        if receiver is not None:
            if receiver.attachment is None:
                yield Reason(ReasonCode.RECEIVER_NOT_ATTACHED, asker, receiver.id)
            if not self._rules(receiver, Direction.INGRESS):
                yield Reason(ReasonCode.NO_INGRESS_RULE, asker, receiver.id)
        yield from self._policies(outwards=True)
        yield from self._policies(outwards=False)

    def allowed(self) -> Iterator[Reason]:
        codes = {Direction.EGRESS: ReasonCode.EGRESS_RULE, Direction.INGRESS: ReasonCode.INGRESS_RULE}
        for port, direction in ((self._ends.sender, Direction.EGRESS), (self._ends.receiver, Direction.INGRESS)):
            found = self._rules(port, direction) if port else ()
            if found:
                yield Reason(codes[direction], self._question.project, *found[0])

    def _rules(self, port: Port, direction: Direction) -> list[tuple[str, Rule]]:
        """Those that allow it, or may: who is in another project's group is not the asker's to see."""
        other = self._ends.receiver if direction is Direction.EGRESS else self._ends.sender
        address = self._ends.destination if direction is Direction.EGRESS else self._ends.source
        peer = Peer(address, other.groups if other is not None and other.attachment else ())
        groups = (group for name in port.groups if (group := self._project.groups.get(name)))
        rules = [(group.name, rule) for group in groups for rule in rules_of(group, direction)]
        sure = [one for one in rules if allows(one[1], self._question.protocol, self._question.destination_port, peer)]
        return sure or [one for one in rules if other is None and self._may_allow(one[1])]

    def _may_allow(self, rule: Rule) -> bool:
        if not isinstance(rule.peer, GroupRef) or rule.peer.owner is None:
            return False
        service = (self._question.protocol, self._question.destination_port)
        return allows(replace(rule, peer=ANYWHERE), *service, Peer(self._ends.destination))

    def _policies(self, *, outwards: bool) -> Iterator[Reason]:
        """Of the asker's, where they meet in its VPC. Whoever is not of the project is in none of its groups."""
        if self._ends.home != self._question.project:
            return
        ends = [(self._ends.source, self._ends.sender), (self._ends.destination, self._ends.receiver)]
        (own, _), (other, who) = ends if outwards else ends[::-1]
        groups = who.groups if who is not None and who.attachment else ()
        service = (self._question.protocol, self._question.destination_port)
        found = decided(self._project, own, other, groups, *service, outwards=outwards)
        if found is not None and not found.is_allowed:
            code = ReasonCode.POLICY_DENIED if found.rule else ReasonCode.ISOLATED
            yield Reason(code, self._question.project, found.policy.name, found.rule)


def _hops(ends: Ends, reasons: tuple[Reason, ...], reachable: bool) -> Iterator[Hop]:
    """The asker's stations, and between or behind them one that stands for everything else."""
    placed = {station: tuple(one for one in reasons if _place(one, ends) is station) for station in Station}
    if ends.sender is not None:
        yield Hop(Station.PORT, *_port(ends.sender), Passage.PASSES)
        yield _hop(Station.GUARD, port_text(ends.sender), "its own MAC and address", placed, reachable)
        yield _hop(Station.EGRESS, _groups(ends.sender), "egress rules", placed, reachable)
    else:
        yield Hop(Station.OTHER_SIDE, str(ends.home), f"{ends.source}, and what judges there", Passage.UNKNOWN)
    about = "its VPC, and what judges there" if ends.receiver else f"{ends.destination}, and what judges there"
    if ends.sender is not None:
        yield _hop(Station.OTHER_SIDE, str(ends.home), about, placed, reachable)
    if ends.receiver is not None:
        yield _hop(Station.INGRESS, _groups(ends.receiver), "ingress rules", placed, reachable)
        yield _hop(Station.PORT, *_port(ends.receiver), placed, reachable)


def _hop(station: Station, name: str, detail: str, placed: dict[Station, tuple[Reason, ...]], reachable: bool) -> Hop:
    here = placed[station]
    told = "; ".join(f"{one.thing}: {_rule(one, station)}" for one in here if one.rule is not None)
    if any(one.stops for one in here):
        return Hop(station, name, told or detail, Passage.STOPS, here)
    known = reachable or bool(here) or station is Station.GUARD
    return Hop(station, name, told or detail, Passage.PASSES if known else Passage.UNKNOWN, here)


def _rule(reason: Reason, station: Station) -> str:
    assert reason.rule is not None
    return rule_text(reason.rule, Direction.EGRESS if station is Station.EGRESS else Direction.INGRESS)


def _place(reason: Reason, ends: Ends) -> Station:
    match reason.code:
        case ReasonCode.EGRESS_RULE | ReasonCode.NO_EGRESS_RULE:
            return Station.EGRESS
        case ReasonCode.INGRESS_RULE | ReasonCode.NO_INGRESS_RULE:
            return Station.INGRESS
        case ReasonCode.POLICY_DENIED | ReasonCode.ISOLATED:
            return Station.OTHER_SIDE
        case ReasonCode.REFUSED_BY_OTHER_SIDE:
            return Station.OTHER_SIDE
        case ReasonCode.RECEIVER_NOT_ATTACHED:
            return Station.PORT
    return Station.GUARD if ends.sender else Station.PORT


def _port(port: Port) -> tuple[str, str]:
    return port_text(port), f"{address_of(port)}, {'attached' if port.attachment else 'not attached'}"


def _groups(port: Port) -> str:
    return ",".join(port.groups) or "-"
