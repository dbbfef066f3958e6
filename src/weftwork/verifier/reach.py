"""Who reaches whom in one project, as sets of packets between classes of ports.

Ports with the same security groups are one class, and answers are sets of packets; so the work goes by classes, not by
ports.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import product

from weftwork.model.nat import Dnat
from weftwork.model.security_group import Protocol
from weftwork.verifier.boxes import (
    ADDRESSES,
    NOTHING,
    Box,
    Boxes,
    Span,
    intersect,
)
from weftwork.verifier.model import (
    DHCP_PORTS,
    NUMBERS,
    TUNNEL_PORTS,
    TUNNEL_PROTOCOLS,
)
from weftwork.verifier.packet import UDP
from weftwork.verifier.policies import PolicySets

Groups = tuple[str, ...]
"""A class: the groups that its ports have, sorted."""

Member = tuple[int, str]
"""An attached port: its address as a number, and its id."""

Pair = tuple[Groups, Groups]

NEVER_FROM_GUESTS: Boxes = (
    *(Box(protocol=(number, number)) for number in sorted(TUNNEL_PROTOCOLS)),
    *(Box(protocol=(UDP, UDP), port=(port, port)) for port in sorted(TUNNEL_PORTS | DHCP_PORTS)),
)
"""What no port lets its guest send, whatever the rules say; it is not taken out of the sets below."""


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

    Between classes, by the ports' own addresses (a port does not reach itself): `out` and `into` are what a class
    opens to addresses of the VPC, whoever has them, and `named` is the whole reach of those pairs of which one side
    names a group of the other; of both, `between` leaves what the policies let pass. `outwards` is what the class's
    ports may send to the outside, `forwards` are its DNATs by name.
    """

    members: Mapping[Groups, tuple[Member, ...]] = field(default_factory=dict)
    out: Mapping[Groups, Boxes] = field(default_factory=dict)
    into: Mapping[Groups, Boxes] = field(default_factory=dict)
    named: Mapping[Pair, Boxes] = field(default_factory=dict)
    outwards: Mapping[Groups, Boxes] = field(default_factory=dict)
    forwards: Mapping[str, Forward] = field(default_factory=dict)
    policies: PolicySets = field(default_factory=PolicySets)

    def between(self, source: Groups, destination: Groups) -> Boxes:
        return self.policies.between(self._opened(source, destination), source, destination)

    def _opened(self, source: Groups, destination: Groups) -> Boxes:
        named = self.named.get((source, destination))
        if named is not None:
            return named
        return intersect(self.out.get(source, NOTHING), self.into.get(destination, NOTHING))

    def passing(self) -> Iterator[Pair]:
        """Every pair of classes that something passes, once."""
        opened = self._opening()
        return opened if self.policies.is_empty else (pair for pair in opened if self.between(*pair))

    def _opening(self) -> Iterator[Pair]:
        yield from self.named
        outs, intos = _by_value(self.out), _by_value(self.into)
        for out, into in product(outs, intos):
            if intersect(out, into):
                yield from (pair for pair in product(outs[out], intos[into]) if pair not in self.named)

    def hairpin(self, source: Groups, name: str) -> Boxes:
        """What ports of a class may send to a DNAT of their own VPC."""
        forward = self.forwards[name]
        inner = exactly(forward.dnat.internal_ip, forward.dnat.protocol, forward.dnat.internal_port)
        outer = exactly(forward.dnat.external_ip, forward.dnat.protocol, forward.dnat.external_port)
        allowed = intersect(self.between(source, forward.groups), (inner,))
        return tuple(outer._replace(source=box.source) for box in allowed)


def sent_by(member: Member, packets: Boxes) -> Boxes:
    """Of what a class may send, what one of its ports may, in whatever name."""
    return tuple(box._replace(source=ADDRESSES) for box in packets if box.source[0] <= member[0] <= box.source[1])


def _by_value(boxes: Mapping[Groups, Boxes]) -> dict[Boxes, list[Groups]]:
    """Classes by what they open; those that open nothing are left out."""
    classes: defaultdict[Boxes, list[Groups]] = defaultdict(list)
    for groups, one in boxes.items():
        if one:
            classes[one].append(groups)
    return classes


def exactly(destination: object, protocol: Protocol, port: int) -> Box:
    """One service, at one IPv4 address or (None) at any."""
    where = point(int(destination)) if isinstance(destination, IPv4Address) else ADDRESSES
    return Box(destination=where, protocol=point(NUMBERS[protocol]), port=point(port))


def point(value: int) -> Span:
    return (value, value)
