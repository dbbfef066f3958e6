"""Runs a case on a data plane and holds every packet against the model."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from typing import Protocol

from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Port
from weftwork.model.subnet import Subnet
from weftwork.testing.equivalence import frames
from weftwork.testing.equivalence.cases import Case
from weftwork.testing.equivalence.frames import Arrival
from weftwork.testing.equivalence.opinion import (
    Foretold,
    Opinion,
    Tracked,
    Untold,
    agrees,
    tracked_answer,
    tracked_first,
    tracked_later,
)
from weftwork.testing.equivalence.packets import Flow, answer_frame, packets_of
from weftwork.testing.equivalence.shots import NEVER_DELIVERED, Form, Shot
from weftwork.testing.equivalence.wire import BROADCAST, Fence, Wire
from weftwork.testing.equivalence.world import EXTERNAL, NEIGHBOUR, TENANTS, device_of
from weftwork.verifier.model import Model, Traits, address_of, dnats_of, snat_of, survives
from weftwork.verifier.packet import End, Inside, Outside, Phase, Probe, Router, Seen, Verdict
from weftwork.verifier.reasons import Reason, ReasonCode

_NOBODY = bytes.fromhex("0257ffffffff")


class Plane(Protocol):
    """A data plane under test. The far end of each port is `device_of(port)` in the namespace of the wire."""

    wire: Wire
    traits: Traits

    def opinion(self) -> Opinion | None:
        """What else says what the intent in force does to packets, if there is something."""

    def apply(self, intent: Intent) -> None: ...
    def forget_flows(self) -> None: ...
    def settle(self, questions: Iterable[Fence]) -> None:
        """Wait until the routers know who asked them from outside, so that nothing of what follows waits for ARP."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`stage` says when the packet was sent; `arrived` is all that came of it, in words; `foretold` is what the second
    opinion says, None where there is none."""

    stage: str
    shot: Shot
    expected: Verdict
    arrived: tuple[str, ...]
    foretold: tuple[str, ...] | None = None


@dataclass
class Outcome:
    packets: int = 0
    delivered: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)
    refused: dict[int, "_Sent"] = field(default_factory=dict)
    """What should arrive nowhere, and must not do so later either."""
    compared: int = 0
    """Packets of which there is a second opinion."""
    untold: Counter[Untold] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Sent:
    """One packet on its way: its number, what the model says, and the frames."""

    number: int
    shot: Shot
    expected: Verdict
    batch: tuple[tuple[str, bytes], ...]
    tracked: Tracked | Untold
    may_be_lost: bool = False
    """Its flow has another translation now, so it has ended or is a new one; or its MAC is wrong."""


_numbers = count(1)


def run_case(plane: Plane, case: Case, *, second_opinion: bool = True) -> Outcome:
    outcome = Outcome()
    stage = _Stage(plane, case.before, outcome, second_opinion=second_opinion)
    plane.apply(case.before)
    plane.forget_flows()
    stage.look_around()
    flows = stage.open("a new flow", case.shots)
    stage.answer("an answer", flows)
    if case.after is not None:
        plane.apply(case.after)
        stage = _Stage(plane, case.after, outcome, second_opinion=second_opinion)
        stage.look_around()
        kept = stage.go_on("a flow after the change", flows)
        stage.answer("an answer after the change", kept)
        stage.open("a new flow after the change", case.later)
    return outcome


class _Stage:
    """One intent in force."""

    def __init__(self, plane: Plane, intent: Intent, outcome: Outcome, *, second_opinion: bool) -> None:
        self._plane, self._wire, self._intent, self._outcome = plane, plane.wire, intent, outcome
        self._has_second_opinion = second_opinion
        self._model = Model(intent, plane.traits)
        self._macs: dict[tuple[str, IPv4Address], bytes] = {}
        self._fences: list[Fence] = []
        self._held = {address for own in intent.values() for address in _held(own)}
        self._wire.answers_arp = lambda address: address not in EXTERNAL

    def look_around(self) -> None:
        """Learn the MACs of gateways and of external addresses, by asking."""
        ports = {self._fence(port): port for port in self._ports()}
        self._macs |= self._wire.resolve(list(ports), wait=True)
        by_owner = {port.home: fence for fence, port in ports.items() if (fence.interface, fence.gateway) in self._macs}
        outside = [
            Fence(self._wire.outside, self._wire.outside_mac, self._wire.outside_address, address)
            for address in EXTERNAL
        ]
        self._fences = list(by_owner.values())
        if self._wire.fences_every_port:
            self._fences = [*ports, *[one for one in outside if one.gateway in self._held][:1]]
        self._macs |= self._wire.resolve([one for one in outside if one.gateway in self._held], wait=True)
        self._macs |= self._wire.resolve([one for one in outside if one.gateway not in self._held], wait=False)
        heard = [one for one in outside if one.gateway in self._held]
        heard += [replace(one, address=NEIGHBOUR) for one in heard]
        self._wire.resolve(heard, wait=True)
        self._plane.settle(heard)
        self._wire.forget()

    def open(self, stage: str, shots: Iterable[Shot]) -> list[Flow]:
        """Send packets in a flow's own direction; the flows of those that arrived."""
        traits = self._plane.traits
        sent = [self._sent(shot, self._expected(shot), tracked_first(shot, traits)) for shot in shots]
        return self._judge(stage, [one for one in sent if one])

    def go_on(self, stage: str, flows: Iterable[Flow]) -> list[Flow]:
        sent = []
        for flow in flows:
            if not self._is_there(flow.shot.probe.source):
                continue
            now = self._model.verdict(replace(flow.shot.probe, phase=Phase.OPENING))
            tracked = tracked_later(self._as_sent(flow.shot.probe), flow.verdict, now)
            one = self._sent(flow.shot, now, tracked, turn=flow.turn)
            if one:
                sent.append(replace(one, may_be_lost=not survives(flow.verdict, now)))
        kept = self._judge(stage, sent)
        turns = {id(flow.shot): flow.turn for flow in flows}
        for flow in kept:
            flow.turn = turns[id(flow.shot)] + 1
        return kept

    def answer(self, stage: str, flows: Iterable[Flow]) -> None:
        """Send what the receivers of flows send back."""
        sent = []
        for flow in flows:
            for phase in flow.shot.answers:
                if isinstance(flow.verdict.receiver, Router):
                    continue
                expected = self._model.verdict(replace(flow.shot.probe, phase=phase))
                number = next(_numbers)
                frame = answer_frame(flow, phase, number, self._mac_of(flow.verdict.receiver))
                shot = replace(flow.shot, probe=replace(flow.shot.probe, phase=phase))
                tracked = tracked_answer(self._as_sent(flow.shot.probe), flow.verdict, phase)
                sent.append(_Sent(number, shot, expected, ((flow.arrival.interface, frame),), tracked))
                if phase is Phase.REPLY:
                    flow.turn = max(flow.turn, 1)
        self._judge(stage, sent)

    def _is_promised(self, probe: Probe, expected: Verdict) -> bool:
        """Nothing is about an external address that a VPC may have had before, nor to who calls itself from outside."""
        is_known = probe.destination not in EXTERNAL or probe.destination in self._held
        return is_known and expected.receiver != probe.source

    def _expected(self, shot: Shot) -> Verdict:
        is_carried = self._plane.traits.carries_fragments or shot.form is not Form.FRAGMENTS
        if shot.form in NEVER_DELIVERED or not is_carried:
            return Verdict(None, None, (Reason(ReasonCode.NOT_OF_A_FLOW),))
        return self._model.verdict(shot.probe)

    def _sent(self, shot: Shot, expected: Verdict, tracked: Tracked, *, turn: int = 0) -> _Sent | None:
        """None when its sender is not plugged in, or nothing is promised."""
        if not self._is_promised(shot.probe, expected) or not self._is_there(shot.probe.source):
            return None
        number = next(_numbers)
        packets = packets_of(shot, self._source_of(shot.probe), number, turn)
        match shot.probe.source:
            case Inside(owner, port_id):
                port = self._intent[owner].ports[port_id]
                interface, own_mac = device_of(port), _mac(port)
                if shot.form is Form.LYING_MAC:
                    own_mac = next(_mac(one) for one in self._intent[owner].ports.values() if one is not port)
                macs = [self._next_hop(port, shot)]
            case Outside():
                interface, own_mac = self._wire.outside, self._wire.outside_mac
                macs = self._towards_vpcs(shot.probe.destination)
        batch = tuple(
            (interface, frames.ethernet(own_mac, mac, frames.ETHERTYPE_IPV4, packet))
            for mac in macs
            for packet in packets
        )
        return _Sent(number, shot, expected, batch, tracked, may_be_lost=shot.form is Form.WRONG_MAC)

    def _is_there(self, source: Inside | Outside) -> bool:
        """Is it the outside, or plugged in?"""
        if isinstance(source, Outside):
            return True
        port = self._intent[source.owner].ports.get(source.port) if source.owner in self._intent else None
        return port is not None and port.attachment is not None

    def _next_hop(self, port: Port, shot: Shot) -> bytes:
        destination = shot.probe.destination
        subnet = self._intent[port.home].subnets[port.subnet]
        gateway = self._macs.get((device_of(port), _v4(subnet)), _NOBODY)
        everyone = (one for own in self._intent.values() for one in own.ports.values())
        neighbours = {
            address_of(one): _mac(one) for one in everyone if (one.home, one.subnet) == (port.home, port.subnet)
        }
        honest = neighbours.get(destination, gateway)
        if destination == IPv4Address("255.255.255.255") or destination == subnet.cidr.broadcast_address:
            honest = BROADCAST
        if shot.form is Form.WRONG_MAC:
            return next((mac for mac in neighbours.values() if mac not in (honest, _mac(port))), _NOBODY)
        return honest

    def _towards_vpcs(self, destination: IPv4Address) -> list[bytes]:
        """The MAC that answered for the address; for an address inside, every router's."""
        if not any(destination in own.vpc.cidr for own in self._intent.values() if own.vpc):
            known = self._macs.get((self._wire.outside, destination))
            return [known] if known else []
        return sorted({mac for (interface, _), mac in self._macs.items() if interface == self._wire.outside})

    def _judge(self, stage: str, sent: list[_Sent]) -> list[Flow]:
        wanted = {one.number for one in sent if one.expected.delivered and not one.may_be_lost}
        batch = [frame for one in sent for frame in one.batch]
        arrivals = self._wire.volley(batch, lambda seen: wanted <= _whole(seen), self._fences)
        by_number: dict[int, list[Arrival]] = {}
        for arrival in arrivals:
            by_number.setdefault(arrival.number, []).append(arrival)
        for number, shot in self._outcome.refused.items():
            if number in by_number:
                words = ("late", *map(_words, by_number[number]))
                self._outcome.disagreements.append(Disagreement(stage, shot.shot, shot.expected, words))
        opinion = self._plane.opinion() if self._has_second_opinion else None
        flows = []
        for one in sent:
            came = by_number.get(one.number, [])
            self._outcome.packets += 1
            if not one.expected.delivered:
                self._outcome.refused[one.number] = one
            self._outcome.delivered += one.expected.delivered
            told = self._told(opinion, one) if opinion else None
            if not self._agrees(one, came) or not self._is_confirmed(one, told, came):
                self._outcome.disagreements.append(_disagreement(stage, one, came, told))
            elif came and one.shot.form in (Form.PLAIN, Form.FRAGMENTS):
                flows.append(Flow(one.shot, one.expected, came[0]))
        return flows

    def _agrees(self, sent: _Sent, came: list[Arrival]) -> bool:
        verdict = sent.expected
        if verdict.receiver is None or verdict.seen is None:
            return not came
        if sent.number not in _whole(came):
            return sent.may_be_lost and not came
        parts = 2 if any(one.fragment[1] for one in came) else 1
        interface, seen = self._interface_of(verdict.receiver), verdict.seen
        if isinstance(verdict.receiver, Router):
            # What a router was asked can be seen by its answer.
            interface, seen = self._interface_of(sent.shot.probe.source), verdict.seen.reversed
        first = next(one for one in came if one.fragment[0] == 0)
        if sent.shot.probe.phase is Phase.ERROR:
            outer = (first.seen.source, first.seen.destination) == (seen.source, seen.destination)
            agrees = outer and first.quoted == seen.reversed
        else:
            agrees = first.seen == seen
        return agrees and len(came) == parts and {one.interface for one in came} == {interface}

    def _told(self, opinion: Opinion, sent: _Sent) -> tuple[Foretold, ...] | None:
        told = sent.tracked if isinstance(sent.tracked, Untold) else _asked(opinion, sent, sent.tracked)
        if isinstance(told, Untold):
            self._outcome.untold[told] += 1
            return None
        self._outcome.compared += 1
        return told

    def _is_confirmed(self, sent: _Sent, told: tuple[Foretold, ...] | None, came: list[Arrival]) -> bool:
        """By the second opinion, if there is one."""
        receiver = sent.expected.receiver
        at = "" if receiver is None or isinstance(receiver, Router) else self._interface_of(receiver)
        return told is None or agrees(sent.shot, sent.expected, at, told, came)

    def _interface_of(self, end: End) -> str:
        if isinstance(end, Inside):
            return device_of(self._intent[end.owner].ports[end.port])
        return self._wire.outside

    def _mac_of(self, end: End | None) -> bytes:
        return _mac(self._intent[end.owner].ports[end.port]) if isinstance(end, Inside) else self._wire.outside_mac

    def _source_of(self, probe: Probe) -> IPv4Address:
        if isinstance(probe.source, Outside):
            return probe.source.address
        if probe.source_address is not None:
            return probe.source_address
        address = address_of(self._intent[probe.source.owner].ports[probe.source.port])
        assert address is not None
        return address

    def _as_sent(self, probe: Probe) -> Seen:
        return Seen(self._source_of(probe), probe.source_port, probe.destination, probe.destination_port)

    def _ports(self) -> list[Port]:
        return [
            port
            for owner in TENANTS
            if owner in self._intent
            for port in self._intent[owner].ports.values()
            if port.attachment
        ]

    def _fence(self, port: Port) -> Fence:
        address = address_of(port)
        assert address is not None
        return Fence(device_of(port), _mac(port), address, _v4(self._intent[port.home].subnets[port.subnet]))


def _held(own: ProjectIntent) -> Iterator[IPv4Address]:
    """The external addresses that a VPC's router has."""
    yield from (one.external_ip for one in dnats_of(own) if isinstance(one.external_ip, IPv4Address))
    snat = snat_of(own)
    if snat:
        yield snat


def _whole(arrivals: Iterable[Arrival]) -> set[int]:
    """The numbers of packets of which everything came."""
    begun: set[int] = set()
    ended: set[int] = set()
    for one in arrivals:
        if one.fragment[0] == 0:
            begun.add(one.number)
        if not one.fragment[1]:
            ended.add(one.number)
    return begun & ended


def _mac(port: Port) -> bytes:
    return bytes.fromhex(port.mac.replace(":", ""))


def _v4(subnet: Subnet) -> IPv4Address:
    assert isinstance(subnet.gateway, IPv4Address) and isinstance(subnet.cidr, IPv4Network)
    return subnet.gateway


def _asked(opinion: Opinion, sent: _Sent, tracked: Tracked) -> tuple[Foretold, ...] | Untold:
    told: list[Foretold] = []
    for interface, frame in sent.batch:
        found = opinion.of(interface, frame, tracked)
        if isinstance(found, Untold):
            return found
        told += found
    return tuple(told)


def _disagreement(stage: str, sent: _Sent, came: list[Arrival], told: tuple[Foretold, ...] | None) -> Disagreement:
    foretold = None if told is None else tuple(f"at {one.interface or 'a router'}: {_ends(one.seen)}" for one in told)
    return Disagreement(stage, sent.shot, sent.expected, tuple(map(_words, came)), foretold)


def _ends(seen: Seen) -> str:
    return f"{seen.source}:{seen.source_port} > {seen.destination}:{seen.destination_port}"


def _words(arrival: Arrival) -> str:
    quoted = f" about {arrival.quoted}" if arrival.quoted else ""
    return (
        f"at {arrival.interface}: protocol {arrival.protocol} {_ends(arrival.seen)} fragment {arrival.fragment}{quoted}"
    )
