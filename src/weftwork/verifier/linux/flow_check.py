"""What no single packet shows: the marks of flows, flows of other policies, strangers' complaints, and peers."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.port import Port
from weftwork.program.linux import NftElement
from weftwork.verifier.linux.frame import ICMP, INVALID, TCP, UNREACHABLE, Flow, Packet, Tuple
from weftwork.verifier.linux.journey import AtPort, Journey, Lost
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.model import owner_of
from weftwork.verifier.linux.peering_check import ranges
from weftwork.verifier.linux.stand import (
    ANY,
    CLASSES,
    EXTERNAL_PORT,
    LOST,
    MORE,
    NONE,
    OUTSIDE,
    SOURCE_PORT,
    Stand,
    v4_of,
)
from weftwork.verifier.model import snat_of
from weftwork.verifier.packet import Inside, Phase, Probe
from weftwork.verifier.violation import Fault, Violation

_PHASES = (Phase.OPENING, Phase.REPLY, Phase.ERROR, Phase.STRAY)
_STALE_MARK = 0x5A5A5A5A


def check_flows(stand: Stand) -> Iterator[Violation]:
    """What no single packet shows: marks, other policies' flows, complaints of strangers."""
    found = [*_marked(stand), *_stale(stand), *_complaints(stand), *_too_fast(stand), *_unlucky(stand)]
    found += [*_peers(stand), *_told(stand), *_prepared(stand), *_kept(stand)]
    for fault, what, source, destination in found:
        probe = Probe(Inside(stand.look.owner, source.id), destination, TCP, SOURCE_PORT, 80, Phase.MIDDLE)
        yield Violation(fault, stand.look.scope.name, what, probe)


_SPOOFED = "spoofed_peer"
_Found = tuple[Fault, str, Port, IPv4Address]


def _pairs(stand: Stand, first: str, second: str) -> Iterator[tuple[Port, Port]]:
    """Guests of two kinds, in one subnet and in two."""
    for (subnet, kind), port in stand.ports.items():
        for (other_subnet, other_kind), other in stand.ports.items():
            if (kind, other_kind) == (first, second) and port is not other and subnet <= other_subnet:
                yield port, other


def _marked(stand: Stand) -> Iterator[_Found]:
    """A flow that was judged is not judged again by the same policy."""
    scope = stand.look.scope
    for port, other in _pairs(stand, ANY, MORE):
        journey = Journey(stand.look.view)
        first, second = _packet(port, other), _packet(port, other)
        if isinstance(journey.from_port(scope, port.device, first), Lost):
            continue
        journey.from_port(scope, port.device, second)
        if second.mark or second.flow is None or not second.flow.mark:
            yield Fault.STALE, "a flow is judged at every packet.", port, v4_of(other)
        if second.priority != "none" or first.priority != "none":
            yield Fault.REACH, "a packet leaves with the number of a combination as its priority.", port, v4_of(other)


def _stale(stand: Stand) -> Iterator[_Found]:
    """A flow that another policy judged, or nobody, is judged: today's rules do not allow these."""
    scope, view = stand.look.scope, stand.look.view
    cases = [(port, other, False) for port, other in _pairs(stand, ANY, NONE)]
    cases += [(port, other, True) for port, other in _pairs(stand, NONE, ANY)]
    for port, other, replies in cases:
        for mark in (0, 1, _STALE_MARK):
            ends = _packet(port, other).ends
            flow = Flow(TCP, ends, ends.reversed, mark=mark, confirmed=True)
            sender, packet = (other, _packet(other, port)) if replies else (port, _packet(port, other))
            packet.source_port, packet.destination_port = (80, SOURCE_PORT) if replies else (SOURCE_PORT, 80)
            if not isinstance(Journey(view, {scope.name: [flow]}).from_port(scope, sender.device, packet), Lost):
                yield Fault.STALE, "a flow that no rule allows any more goes on.", sender, v4_of(port)
    yield from _translated(stand)


def _translated(stand: Stand) -> Iterator[_Found]:
    """Flows whose translation is not today's: the DNAT to a port that none leads to, the SNAT to another address."""
    look, scope = stand.look, stand.look.scope
    anyone = next((port for (_, kind), port in stand.ports.items() if kind == ANY), None)
    external = look.external()
    if anyone is None or not external:
        return
    inner, outside = int(v4_of(anyone)), int(OUTSIDE)
    gone = Tuple(outside, SOURCE_PORT, int(external[0]), EXTERNAL_PORT + 7)
    dnat = Flow(TCP, gone, Tuple(inner, 80, outside, SOURCE_PORT), mark=_STALE_MARK, confirmed=True, dnat=True)
    answer = Packet(source=inner, source_port=80, destination=outside, destination_port=SOURCE_PORT, protocol=TCP)
    again = Packet(
        source=outside,
        source_port=SOURCE_PORT,
        destination=gone.destination,
        destination_port=gone.destination_port,
        protocol=TCP,
    )
    journey = Journey(look.view, {scope.name: [dnat]})
    for outcome in (journey.from_port(scope, anyone.device, answer), journey.from_outside(again)):
        if not isinstance(outcome, Lost):
            yield Fault.STALE, "a flow through a DNAT that is gone goes on.", anyone, OUTSIDE
    ends = Tuple(inner, SOURCE_PORT, outside, 80)
    other = int(snat_of(look.project) or external[0]) ^ 1
    snat = Flow(TCP, ends, Tuple(outside, 80, other, SOURCE_PORT), mark=_STALE_MARK, confirmed=True, snat=True)
    packet = Packet(source=inner, source_port=SOURCE_PORT, destination=outside, destination_port=80, protocol=TCP)
    outcome = Journey(look.view, {scope.name: [snat]}).from_port(scope, anyone.device, packet)
    if not isinstance(outcome, Lost):
        yield Fault.STALE, "a flow through an SNAT that is gone goes on.", anyone, OUTSIDE


def _complaints(stand: Stand) -> Iterator[_Found]:
    """An ICMP error about a flow is for its ends to send, and for nobody else's guest."""
    scope = stand.look.scope
    for port, other in _pairs(stand, ANY, MORE):
        stranger = next((one for one in stand.ports.values() if one not in (port, other)), port)
        there, back = _packet(port, other).ends, _packet(port, other).ends.reversed
        cases = ((other, port, back, True), (port, other, there, True), (stranger, port, back, stranger is port))
        for sender, receiver, about, passes in cases:
            journey = Journey(stand.look.view)
            if isinstance(journey.from_port(scope, port.device, _packet(port, other)), Lost):
                continue
            error = _packet(sender, receiver)
            error.protocol, error.icmp_type, error.about = ICMP, UNREACHABLE, about
            arrived = isinstance(journey.from_port(scope, sender.device, error), AtPort)
            if arrived != passes:
                who = "an end of a flow cannot complain of it." if passes else "a stranger can complain of a flow."
                yield Fault.GUARD, who, sender, v4_of(receiver)


def _prepared(stand: Stand) -> Iterator[_Found]:
    """A packet that comes with a priority, for its type of service sets one, is not taken for a combination's."""
    look = stand.look
    port = next(iter(stand.ports.values()))
    for table in look.judging:
        for chain, direction in ((one, way) for one in table.hook("forward") for way in ("out", "in")):
            nobody = int(OUTSIDE)
            ends = Tuple(nobody, SOURCE_PORT, nobody + 1, 80)
            packet = Packet(
                source=nobody,
                destination=nobody + 1,
                protocol=TCP,
                mark=2,
                priority=CLASSES[direction][ANY],
                flow=Flow(TCP, ends, ends.reversed),
            )
            if chain.name not in ("leave", "arrive"):
                continue
            if table.run_base(chain, packet) is None:
                yield Fault.GUARD, f"{chain.name} takes a packet for another by its priority.", port, OUTSIDE
            packet.mark = 0
            if table.run_base(chain, packet) is not None:
                yield Fault.REACH, f"{chain.name} judges a packet again whose flow was judged.", port, OUTSIDE


def _told(stand: Stand) -> Iterator[_Found]:
    """What may not leave, or comes from nobody, is counted as such."""
    look = stand.look
    for port, other in (*_pairs(stand, LOST, ANY), *_pairs(stand, ANY, LOST)):
        packet = _packet(port, other)
        Journey(look.view).from_port(look.scope, port.device, packet)
        counter = "denied_to_outside" if other.groups == () else "denied_from_outside"
        if packet.counted != [counter]:
            yield Fault.REACH, f"what no rule has heard of is counted as {packet.counted}.", port, v4_of(other)
    for (_, kind), port in stand.ports.items():
        if kind == ANY and snat_of(look.project) is None and look.external():
            packet = _packet(port, port)
            packet.destination = int(OUTSIDE)
            Journey(look.view).from_port(look.scope, port.device, packet)
            if packet.counted != ["denied_to_outside"]:
                yield Fault.REACH, f"what may not leave is counted as {packet.counted}.", port, OUTSIDE


def _kept(stand: Stand) -> Iterator[_Found]:
    """A flow that another policy judged goes on, in both directions, if today's rules allow it."""
    look, scope = stand.look, stand.look.scope
    for port, other in _pairs(stand, ANY, MORE):
        ends = _packet(port, other).ends
        for sender, receiver, replies in ((port, other, False), (other, port, True)):
            flow = Flow(TCP, ends, ends.reversed, mark=_STALE_MARK, confirmed=True)
            packet = _packet(sender, receiver)
            if replies:
                packet.source_port, packet.destination_port = 80, SOURCE_PORT
            if isinstance(Journey(look.view, {scope.name: [flow]}).from_port(scope, sender.device, packet), Lost):
                yield Fault.REACH, "a change of rules ends a flow that they allow.", sender, v4_of(receiver)
    snat = snat_of(look.project)
    for (_, kind), port in stand.ports.items() if snat and look.uplinks() else ():
        if kind == ANY and snat is not None:
            yield from _kept_outside(look, port, snat)


def _kept_outside(look: Look, port: Port, snat: IPv4Address) -> Iterator[_Found]:
    inner, outer = int(v4_of(port)), int(OUTSIDE)
    there = Packet(source=inner, source_port=SOURCE_PORT, destination=outer, destination_port=80, protocol=TCP)
    back = Packet(source=outer, source_port=80, destination=int(snat), destination_port=SOURCE_PORT, protocol=TCP)
    original, reply = there.ends, back.ends
    for packet in (there, back):
        flow = Flow(TCP, original, reply, mark=_STALE_MARK, confirmed=True, snat=True)
        journey = Journey(look.view, {look.scope.name: [flow]})
        if packet is there:
            outcome = journey.from_port(look.scope, port.device, packet)
        else:
            outcome = journey.from_outside(packet)
        if isinstance(outcome, Lost):
            yield Fault.REACH, "a change of rules ends a flow to the outside that they allow.", port, OUTSIDE


def _peers(stand: Stand) -> Iterator[_Found]:
    """By a leg comes what is from its peer and for us, and goes what is for the peer; the groups here judge our own."""
    look, scope = stand.look, stand.look.scope
    cidrs = ranges(look)
    for leg in look.legs():
        for owner in (owner_of(other) for other, _ in look.view.on_segment(leg) if other is not scope):
            there = cidrs.get(owner)
            for (_, kind), port in stand.ports.items() if there else ():
                assert there is not None
                yield from _of_peer(look, leg.name, there, kind, port)


def _of_peer(look: Look, leg: str, there: IPv4Network, kind: str, port: Port) -> Iterator[_Found]:
    gateway = look.project.subnets[port.subnet].gateway
    uplink = next((one.name for one in look.uplinks()), leg)
    guest, stranger, outside = int(there[5]), int(there[-1]) + 5, int(OUTSIDE)
    passes = kind in (ANY, MORE)
    cases = (
        (leg, guest, int(v4_of(port)), passes, ""),
        (leg, stranger, int(v4_of(port)), False, _SPOOFED),
        (leg, outside, int(v4_of(port)), False, _SPOOFED),
        (leg, guest, outside, False, _SPOOFED),
        (leg, guest, int(gateway), False, "denied_router"),
        *([(uplink, guest, int(v4_of(port)), False, _SPOOFED)] if uplink != leg else []),
    )
    for interface, source, destination, wanted, counter in cases:
        packet = Packet(
            source=source, source_port=SOURCE_PORT, destination=destination, destination_port=80, protocol=TCP
        )
        arrived = not isinstance(Journey(look.view).by_uplink(look.scope, interface, packet), Lost)
        if arrived != wanted or (counter and packet.counted != [counter]):
            what = f"from {IPv4Address(source)} by {interface} a packet {'comes' if arrived else 'does not come'} in."
            yield Fault.REACH if wanted else Fault.ISOLATION, what, port, IPv4Address(source)
    packet = _packet(port, port)
    packet.destination = guest
    outcome = Journey(look.view).from_port(look.scope, port.device, packet)
    left = not isinstance(outcome, Lost) or outcome.scope != look.scope.name
    if left != passes and kind != LOST:
        yield Fault.REACH, f"to its peer a packet {'leaves' if left else 'does not leave'}.", port, there[5]


def _too_fast(stand: Stand) -> Iterator[_Found]:
    for port in stand.ports.values():
        gateway = stand.look.project.subnets[port.subnet].gateway
        assert isinstance(gateway, IPv4Address)
        ping = Packet(source=int(v4_of(port)), destination=int(gateway), protocol=ICMP, too_fast=True)
        if not isinstance(Journey(stand.look.view).from_port(stand.look.scope, port.device, ping), Lost):
            yield Fault.GUARD, "the gateway answers any number of pings.", port, gateway


def _unlucky(stand: Stand) -> Iterator[_Found]:
    """A packet that meets a change finds no epoch: it is judged all the same, and marks nothing."""
    look, scope = stand.look, stand.look.scope
    for table in look.judging:
        packet = Packet(mark=1, flow=Flow(TCP, Tuple(0, 0, 0, 0), Tuple(0, 0, 0, 0)), state=INVALID)
        if "stamp" in table.chains:
            table.decides("stamp", packet)
        if packet.flow is None or packet.flow.mark:
            port = next(iter(stand.ports.values()))
            yield Fault.STALE, "a flow gets the mark of a policy that did not judge it.", port, v4_of(port)
    stamps = tuple(
        NftElement(scope.name, table.family, "stamp", str(key[0]), f"0x{int(value[0]):08x}")
        for table in look.judging
        for key, value in table.sets["stamp"]
    )
    with look.view.changed(removed=stamps):
        for port, other in _pairs(stand, ANY, NONE):
            outcome = Journey(look.view).from_port(scope, port.device, _packet(port, other))
            if not isinstance(outcome, Lost):
                yield Fault.STALE, "a packet that meets a change is not judged.", port, v4_of(other)


def _packet(source: Port, destination: Port) -> Packet:
    return Packet(
        source=int(v4_of(source)),
        source_port=SOURCE_PORT,
        destination=int(v4_of(destination)),
        destination_port=80,
        protocol=TCP,
    )
