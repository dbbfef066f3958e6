"""What a stage of ACLs lets pass, as sets: of each own address and service, the peers that may be the other end.

A match is conditions joined by `&&`, and each speaks of one thing: the own address, the peer, or the service. So each
condition is asked once per value, and what a rule matches is a product of sets. A match that is otherwise is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address

from weftwork.program.ovn import Acl, AclAction, AclDirection
from weftwork.verifier.ovn.acls import Said, Stage
from weftwork.verifier.ovn.expressions import NotUnderstood, conditions, parse
from weftwork.verifier.ovn.packet import Packet
from weftwork.verifier.ovn.view import RowsView

GOING: Stage = (AclDirection.FROM_PORT, True)
RECEIVED: Stage = (AclDirection.TO_PORT, False)
_OWN_FIELD = {GOING: "ip4.src", RECEIVED: "ip4.dst"}
_PEER_FIELD = {GOING: "ip4.dst", RECEIVED: "ip4.src"}
_PORT_FIELD = {GOING: "inport", RECEIVED: "outport"}
_GUEST = "guest"
"""Of which the question is."""

Mask = int
"""A set of peers: bit n is the n-th."""


@dataclass(frozen=True, slots=True, order=True)
class Service:
    protocol: int
    port: int = 0


@dataclass(frozen=True, slots=True)
class Other:
    """A peer: `atom` is the port group (scope and security group) that it is in, for the question only."""

    address: IPv4Address
    groups: tuple[str, ...] = ()
    """As rules name them."""
    atom: str = ""


@dataclass(frozen=True)
class Axes:
    """All that is asked about."""

    owns: tuple[IPv4Address, ...]
    services: tuple[Service, ...]
    peers: tuple[Other, ...]

    @cached_property
    def everybody(self) -> Mask:
        return (1 << len(self.peers)) - 1


@dataclass(frozen=True, slots=True)
class _Product:
    """What an ACL matches."""

    owns: frozenset[IPv4Address]
    services: frozenset[Service]
    peers: Mask


@dataclass(slots=True)
class _Names:
    """A guest that is in some groups only, and peers that are each in one or none."""

    rows: RowsView
    groups: frozenset[str]
    atom: str = ""

    def has_port(self, group: str, port: str) -> bool:
        return port == _GUEST and group in self.groups

    def has_address(self, name: str, address: int) -> bool:
        if name == f"{self.atom}_ip4":
            return True
        ranges = self.rows.ranges_in(name)
        return any(int(one.network_address) <= address <= int(one.broadcast_address) for one in ranges)


@dataclass
class StageSets:
    """Reads each condition once for all groups that are asked about."""

    rows: RowsView
    stage: Stage
    axes: Axes
    _read: dict[str, object] = field(default_factory=dict)

    def passing(self, groups: Iterable[str], everywhere: str) -> Iterator[tuple[IPv4Address, Service, Mask]]:
        """For a guest in these port groups, and in no other, where that of all switches is in force."""
        inside = frozenset(groups)
        rules = [
            (said.acl, product)
            for said in self.rows.acls.about(self.stage, inside, everywhere)
            if (product := self._of(said, inside))
        ]
        for own in self.axes.owns:
            for service in self.axes.services:
                yield own, service, self._decided(rules, own, service)

    def _decided(self, rules: list[tuple[Acl, _Product]], own: IPv4Address, service: Service) -> Mask:
        open_, passed = self.axes.everybody, 0
        for acl, product in rules:
            if own in product.owns and service in product.services:
                if acl.action is not AclAction.DROP:
                    passed |= open_ & product.peers
                open_ &= ~product.peers
                if not open_:
                    break
        return passed | open_

    def _of(self, said: Said, groups: frozenset[str]) -> _Product | None:
        """None if it never matches."""
        owns, services, peers = frozenset(self.axes.owns), frozenset(self.axes.services), self.axes.everybody
        for condition in conditions(said.acl.match):
            fields = [one for one in (_PORT_FIELD, _OWN_FIELD, _PEER_FIELD) if one[self.stage] in condition]
            if len(fields) > 1:
                raise NotUnderstood(f"match {said.acl.match!r}, whose conditions cannot be told apart")
            if _PORT_FIELD[self.stage] in condition:
                if not parse(condition)(self._packet(), _Names(self.rows, groups)):
                    return None
            elif _OWN_FIELD[self.stage] in condition:
                owns &= self._owns(condition)
            elif _PEER_FIELD[self.stage] in condition:
                peers &= self._peers(condition)
            else:
                services &= self._services(condition)
        return _Product(owns, services, peers) if owns and services and peers else None

    def _owns(self, condition: str) -> frozenset[IPv4Address]:
        if condition not in self._read:
            holds, names = parse(condition), _Names(self.rows, frozenset())
            self._read[condition] = frozenset(one for one in self.axes.owns if holds(self._packet(own=one), names))
        found = self._read[condition]
        assert isinstance(found, frozenset)
        return found

    def _services(self, condition: str) -> frozenset[Service]:
        if condition not in self._read:
            holds, names = parse(condition), _Names(self.rows, frozenset())
            some = (one for one in self.axes.services if holds(self._packet(service=one), names))
            self._read[condition] = frozenset(some)
        found = self._read[condition]
        assert isinstance(found, frozenset)
        return found

    def _peers(self, condition: str) -> Mask:
        if condition not in self._read:
            holds, mask = parse(condition), 0
            for bit, one in enumerate(self.axes.peers):
                if holds(self._packet(peer=one.address), _Names(self.rows, frozenset(), one.atom)):
                    mask |= 1 << bit
            self._read[condition] = mask
        found = self._read[condition]
        assert isinstance(found, int)
        return found

    def _packet(
        self, own: IPv4Address | None = None, peer: IPv4Address | None = None, service: Service = Service(6)
    ) -> Packet:
        ends = (int(own or 0), int(peer or 0))
        source, destination = ends if self.stage == GOING else reversed(ends)
        return Packet(
            source=source,
            destination=destination,
            protocol=service.protocol,
            source_port=40000,
            destination_port=service.port,
            inport=_GUEST if self.stage == GOING else "",
            outport=_GUEST if self.stage == RECEIVED else "",
        )
