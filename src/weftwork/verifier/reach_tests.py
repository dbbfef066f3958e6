"""Whether a reach test holds, and which packet shows that it does not.

After a change it asks only about what the change touches, and only for what was right before: a test that fails already
forbids nothing but to fail in more places.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import chain

from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import SubnetRef
from weftwork.model.reach_test import End, Internet, Must, PortRef, ReachTest
from weftwork.model.security_group import GroupRef, Protocol
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
from weftwork.verifier.diff import ABSENT, Change, within
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.packet import ICMP, TCP, UDP
from weftwork.verifier.reach import NEVER_FROM_GUESTS, Forward, Groups, Member
from weftwork.verifier.reach_index import ReachIndex
from weftwork.verifier.trial import Kin, Trial


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A packet that passes and must not, or does not and must. An end is an attached port, or an address outside.

    Without a packet (`is_missing`), an end that the test names is not there: the port, or any port with the address.
    """

    source: str | int
    destination: str | int
    protocol: int = 0
    port: int = 0
    is_missing: bool = False


def fails(index: ReachIndex, project: ProjectIntent, test: ReachTest) -> Counterexample | None:
    """Looks at everything that the test is about."""
    return broken_by(Trial.of_everything(index), project, test)


def broken_by(trial: Trial, project: ProjectIntent, test: ReachTest) -> Counterexample | None:
    """What the change does to the test that was not so before. `project` knows the subnets."""
    asked = _Question(trial, project, test)
    return next(
        chain(_missing(trial, asked), _inside(trial, asked), _outwards(trial, asked), _inwards(trial, asked)), None
    )


def can_be_sent(test: ReachTest) -> bool:
    """Whether any guest may send such a packet; from outside everything comes."""
    return isinstance(test.source, Internet) or bool(from_guests(test))


class _Place:
    """An end: attached ports of a class or in a range of addresses, and the addresses of the range that are outside."""

    def __init__(self, trial: Trial, project: ProjectIntent, end: End) -> None:
        self.end = end
        self.group = end.name if isinstance(end, GroupRef) else ""
        self.span = _span(trial, project, end)
        self.inside = not isinstance(end, Internet) and self.span is not None
        self.outside = isinstance(end, Internet | IPv4Network)

    def has(self, groups: Groups) -> bool:
        return self.inside and groups != ABSENT and (not self.group or self.group in groups)

    def may_have(self, kin: Kin) -> bool:
        return self.has(kin.before) or self.has(kin.after)

    def is_there(self, index: ReachIndex) -> bool:
        """A port that is named must be attached, and a single address be an attached port's or outside."""
        match self.end:
            case PortRef(port_id):
                return index.place_of(port_id) is not None
            case IPv4Network() as network if network.prefixlen == 32:
                address = int(network.network_address)
                if any(network.subnet_of(peer) for peer in index.routed):
                    return True  # whether the peer has it is looked at across
                return index.holds(address) or bool(intersect(index.outside, (Box(destination=_point(address)),)))
            case _:
                return True


class _Question:
    """A test and where its ends are. Packets are asked about as they arrive, from senders' own addresses."""

    def __init__(self, trial: Trial, project: ProjectIntent, test: ReachTest) -> None:
        self.must = test.must
        self.source = _Place(trial, project, test.source)
        self.destination = _Place(trial, project, test.destination)
        self.from_guests = _between(from_guests(test), self.source.span, self.destination.span)
        self.from_outside = _between(_services(test), self.source.span, self.destination.span)

    def wrong(self, asked: Boxes, passing: Boxes) -> Boxes:
        """What of the packets that are asked about should be otherwise."""
        return subtract(asked, passing) if self.must is Must.REACH else intersect(asked, passing)


def _missing(trial: Trial, asked: _Question) -> Iterator[Counterexample]:
    if asked.must is not Must.REACH:
        return
    for place in (asked.source, asked.destination):
        was_there = place.is_there(trial.was) or trial.is_everything
        if was_there and not place.is_there(trial.would):
            end = place.end.id if isinstance(place.end, PortRef) else place.span[0] if place.span else 0
            yield Counterexample(end, end, is_missing=True)


def _inside(trial: Trial, asked: _Question) -> Iterator[Counterexample]:
    """Between ports."""
    if not (asked.source.inside and asked.destination.inside):
        return
    for source, destination in _pairs(trial, asked.source, asked.destination):
        before, after = trial.between(source, destination)
        new = _newly_wrong(
            asked,
            (
                asked.from_guests
                if asked.source.has(source.before) and asked.destination.has(destination.before)
                else NOTHING,
                before,
            ),
            (
                asked.from_guests
                if asked.source.has(source.after) and asked.destination.has(destination.after)
                else NOTHING,
                after,
            ),
        )
        for one, other in Change(source.members, destination.members, new).member_pairs() if new else ():
            protocol, port = packet_of(new, one[0], other[0])
            yield Counterexample(one[1], other[1], protocol, port)


def _outwards(trial: Trial, asked: _Question) -> Iterator[Counterexample]:
    """From ports to the outside."""
    if not (asked.source.inside and asked.destination.outside):
        return
    before, after = (intersect(asked.from_guests, index.outside) for index in (trial.was, trial.would))
    for kin in filter(asked.source.may_have, trial.translated()):
        new = _newly_wrong(
            asked,
            (before if asked.source.has(kin.before) else NOTHING, trial.was.outwards(kin.before)),
            (after if asked.source.has(kin.after) else NOTHING, trial.would.outwards(kin.after)),
        )
        for box in new:
            for address, port_id in within(kin.members, box.source):
                yield Counterexample(port_id, box.destination[0], *packet_of((box,), address, box.destination[0]))


def _inwards(trial: Trial, asked: _Question) -> Iterator[Counterexample]:
    """From outside to ports, through DNATs: what arrives at each."""
    if not (asked.source.outside and asked.destination.inside):
        return
    before, after = _Arrivals(trial.was), _Arrivals(trial.would)
    for member in _possibly_called(trial, asked, before, after):
        new = _newly_wrong(asked, before.question(asked, member), after.question(asked, member))
        for box in new:
            yield Counterexample(box.source[0], member[1], *packet_of((box,), box.source[0], member[0]))


class _Arrivals:
    """What comes from outside at the targets of the DNATs."""

    def __init__(self, index: ReachIndex) -> None:
        self._index = index
        self.at: dict[str, list[Forward]] = {}
        for forward in index.forwards.values():
            self.at.setdefault(forward.target, []).append(forward)

    def question(self, asked: _Question, member: Member) -> tuple[Boxes, Boxes]:
        """What is asked about for the port, and what passes."""
        place = self._index.place_of(member[1])
        if place is None or not asked.destination.has(place[0]):
            return NOTHING, NOTHING
        never = tuple(Box(source=span) for span in self._index.inside)
        here = tuple(box._replace(destination=_point(member[0])) for box in asked.from_outside)
        return subtract(here, never), union(
            Box(
                box.source,
                _point(member[0]),
                _point(NUMBERS[forward.dnat.protocol]),
                _point(forward.dnat.internal_port),
            )
            for forward in self.at.get(member[1], ())
            for box in forward.sources
        )


def _possibly_called(trial: Trial, asked: _Question, before: _Arrivals, after: _Arrivals) -> Iterator[Member]:
    """Ports at the destination for which the outside may have changed."""
    for kin in filter(asked.destination.may_have, trial.touched):
        members = within(kin.members, asked.destination.span or ADDRESSES)
        if asked.must is Must.REACH:
            yield from members
        else:
            yield from (member for member in members if member[1] in after.at)
    if not trial.translates_anew or trial.is_everything:
        return
    for target in {**before.at, **after.at} if asked.must is Must.REACH else after.at:
        place = trial.would.place_of(target)
        if place and asked.destination.has(place[0]) and within([place[1]], asked.destination.span or ADDRESSES):
            yield place[1]


def _pairs(trial: Trial, source: _Place, destination: _Place) -> Iterator[tuple[Kin, Kin]]:
    """Those of which one is touched."""
    sources = [kin for kin in trial.touched if source.may_have(kin)]
    destinations = [kin for kin in trial.touched if destination.may_have(kin)]
    yield from ((one, other) for one in sources for other in destinations)
    if sources:
        still = [kin for kin in trial.untouched if destination.has(kin.after)]
        yield from ((one, other) for one in sources for other in still)
    if destinations:
        still = [kin for kin in trial.untouched if source.has(kin.after)]
        yield from ((one, other) for one in still for other in destinations)


def _newly_wrong(asked: _Question, before: tuple[Boxes, Boxes], after: tuple[Boxes, Boxes]) -> Boxes:
    wrong = asked.wrong(*after)
    return subtract(wrong, asked.wrong(*before)) if wrong else NOTHING


def packet_of(packets: Boxes, source: int, destination: int) -> tuple[int, int]:
    """Protocol and port of one of the packets between these two: a usual one where there is a choice."""
    box = next(
        one
        for one in packets
        if one.source[0] <= source <= one.source[1] and one.destination[0] <= destination <= one.destination[1]
    )
    low, high = box.protocol
    return next((usual for usual in (TCP, UDP, ICMP) if low <= usual <= high), low), box.port[0]


def _services(test: ReachTest) -> Boxes:
    ports = (test.ports.min, test.ports.max) if test.ports else TRANSPORT_PORTS
    if test.protocol is not Protocol.ALL:
        return (Box(protocol=_point(NUMBERS[test.protocol]), port=ports),)
    protocols: Iterable[Span] = (_point(TCP), _point(UDP)) if test.ports else (PROTOCOLS,)
    return tuple(Box(protocol=protocol, port=ports) for protocol in protocols)


def from_guests(test: ReachTest) -> Boxes:
    return subtract(_services(test), NEVER_FROM_GUESTS)


def _between(packets: Boxes, source: Span | None, destination: Span | None) -> Boxes:
    if source is None or destination is None:
        return NOTHING
    return tuple(box._replace(source=source, destination=destination) for box in packets)


def _span(trial: Trial, project: ProjectIntent, end: End) -> Span | None:
    """The addresses that are meant; None: nobody's."""
    match end:
        case PortRef(port_id):
            place = trial.would.place_of(port_id) or trial.was.place_of(port_id)
            return _point(place[1][0]) if place else None
        case SubnetRef(name):
            subnet = project.subnets.get(name)
            return _span(trial, project, subnet.cidr) if subnet else None
        case IPv4Network():
            return (int(end.network_address), int(end.broadcast_address))
        case GroupRef() | Internet():
            return ADDRESSES
        case _:
            return None


def _point(value: int) -> Span:
    return (value, value)
