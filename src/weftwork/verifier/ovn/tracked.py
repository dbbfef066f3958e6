"""Flows that are tracked, held against the rows in force: whose first packet would be delivered no more?

A zone of connection tracking is a port's or a router's. Only rows of the scopes that changed and of their peers are
needed: what is behind the leg towards the external network counts as outside.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from weftwork.program.ovn import AclDirection, LogicalRouter, LogicalRouterPort, LogicalSwitchPort
from weftwork.program.resource import Resource
from weftwork.verifier.ovn.model import AtPort, Journey, Lost, Outcome
from weftwork.verifier.ovn.packet import ECHO_REQUEST, ICMP, Packet
from weftwork.verifier.ovn.rows import Rows, address_of

_OUT = AclDirection.FROM_PORT.value


@dataclass(frozen=True, slots=True)
class Opening:
    """The first packet of a flow, as the zone of `at` saw it: a port of a switch, or a router, by its row's name."""

    at: str
    protocol: int
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    icmp_type: int = ECHO_REQUEST


def peers_of(program: Iterable[Resource]) -> frozenset[str]:
    """Scopes that are peered with one of these: names of rows begin with their scope."""
    legs = (one for one in program if isinstance(one, LogicalRouterPort) and one.peer)
    return frozenset(one.peer.partition(".")[0] for one in legs)


def dead(program: Iterable[Resource], scopes: Collection[str], openings: Iterable[Opening]) -> Iterator[Opening]:
    """Those that have an end in `scopes`, are allowed no more, and may be forgotten. `program` is all of the scopes
    and of their peers.

    A flow whose answers today's rules would let open one of their own is not among them: what came next from the other
    side would take it up again, with both directions allowed. OVN remembers it, and that it is refused.

    Raises NotUnderstood.
    """
    yield from _Judge(program, scopes).dead(openings)


class _Judge:
    def __init__(self, program: Iterable[Resource], scopes: Collection[str]) -> None:
        self._rows = Rows(program)
        self._scopes = scopes
        self._guests = {
            (port.scope, address): port
            for port in self._rows.switch_ports.values()
            if not port.type and (address := address_of(port)) is not None
        }
        self._routers = {one.scope: one for one in self._rows.routers.values()}
        self._peers: defaultdict[str, list[str]] = defaultdict(list)
        for leg in self._rows.router_ports.values():
            if there := self._rows.router_ports.get(leg.peer):
                self._peers[leg.scope].append(there.scope)

    def dead(self, openings: Iterable[Opening]) -> Iterator[Opening]:
        for opening in openings:
            place = self._rows.switch_ports.get(opening.at) or self._rows.routers.get(opening.at)
            if place is None or not self._is_ours(place.scope, opening):
                continue
            if not self._lives(place, opening) and not self._would_come_back(place, opening):
                yield opening

    def _is_ours(self, scope: str, opening: Opening) -> bool:
        """Whether an end is in a scope that changed. Of a peer's other flows we have not all the rows."""
        if scope in self._scopes:
            return True
        return any(self._leads_to(scope, int(one)) in self._scopes for one in (opening.source, opening.destination))

    def _leads_to(self, scope: str, address: int) -> str:
        """Whose scope is behind a peering."""
        leg = self._leg(scope, address)
        there = self._rows.router_ports.get(leg.peer) if leg else None
        return there.scope if there else ""

    def _leg(self, scope: str, address: int) -> LogicalRouterPort | None:
        router = self._routers.get(scope)
        way = self._rows.way(router.name, address) if router else None
        return self._rows.router_ports.get(way.port) if way else None

    def _lives(self, place: LogicalSwitchPort | LogicalRouter, opening: Opening) -> bool:
        """Some sender can still send it so that it comes by here."""
        if isinstance(place, LogicalSwitchPort) and opening.source == opening.destination:
            # A guest calls itself by a forward only.
            turned = self._outer(place, opening)
            return any(_passes(self._journey().from_port(place, packet), place) for packet in turned)
        if isinstance(place, LogicalSwitchPort) and address_of(place) == int(opening.source):
            return not isinstance(self._journey().from_port(place, _packet(opening)), Lost)
        for sender in self._guests_at(place.scope, int(opening.source)):
            outcome = self._journey().from_port(sender, _packet(opening))
            if _passes(outcome, place):
                return True
        outer = self._leg(place.scope, int(opening.source))
        if outer is None or not outer.gateway_chassis:
            return False
        return any(_passes(self._journey().from_beyond(outer, packet), place) for packet in self._outer(place, opening))

    def _would_come_back(self, place: LogicalSwitchPort | LogicalRouter, opening: Opening) -> bool:
        """Whether an answer could open a flow, or would meet the flow's own side half-way."""
        if opening.protocol == ICMP or opening.source == opening.destination:
            return False
        answer = Packet(
            source=int(opening.destination),
            destination=int(opening.source),
            protocol=opening.protocol,
            source_port=opening.destination_port,
            destination_port=opening.source_port,
        )
        for answerer in self._guests_at(place.scope, int(opening.destination)):
            outcome = self._journey().from_port(answerer, replace(answer))
            if isinstance(outcome, AtPort) or (_is_taken_up(outcome) and self._is_taken_up_again(place.scope, opening)):
                return True
        return False

    def _is_taken_up_again(self, scope: str, opening: Opening) -> bool:
        """Whether the port that began it takes up what comes next, as a flow of its own. When both ends' ports do,
        each lets pass what the other sends, for an answer to its own: the two flows meet."""
        senders = self._guests_at(scope, int(opening.source))
        return any(_is_taken_up(self._journey().from_port(sender, _packet(opening))) for sender in senders)

    def _journey(self) -> Journey:
        return Journey(self._rows, is_part=True)

    def _guests_at(self, scope: str, address: int) -> Iterator[LogicalSwitchPort]:
        for one in (scope, *self._peers[scope]):
            if port := self._guests.get((one, address)):
                yield port

    def _outer(self, place: LogicalSwitchPort | LogicalRouter, opening: Opening) -> Iterator[Packet]:
        """What somebody outside sent: a router saw it so, a guest as a forward turned it."""
        if isinstance(place, LogicalRouter):
            yield _packet(opening)
            return
        group = self._routers[place.scope].load_balancer_group
        inner = (int(opening.destination), opening.destination_port)
        for address, port in self._rows.outer_ends(place.scope, group, opening.protocol, inner):
            packet = _packet(opening)
            packet.destination, packet.destination_port = address, port
            yield packet


def _passes(outcome: object, place: LogicalSwitchPort | LogicalRouter) -> bool:
    if isinstance(place, LogicalSwitchPort):
        return isinstance(outcome, AtPort) and outcome.port == place
    return not isinstance(outcome, Lost)


def _packet(opening: Opening) -> Packet:
    return Packet(
        source=int(opening.source),
        destination=int(opening.destination),
        protocol=opening.protocol,
        source_port=opening.source_port,
        destination_port=opening.destination_port,
        icmp_type=opening.icmp_type,
    )


def _is_taken_up(outcome: Outcome) -> bool:
    """Whether the sender's port lets it out, whatever becomes of it: from then on the port tracks it."""
    return not (isinstance(outcome, Lost) and (_OUT in outcome.where or outcome.where == "port security"))
