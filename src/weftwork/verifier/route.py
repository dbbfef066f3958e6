"""The way that a packet takes through one project's network, whether or not it gets through: who stands at its ends,
what they look like to each other's groups, and what is between."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Rule
from weftwork.verifier.edits import Direction
from weftwork.verifier.model import NUMBERS, Peer, address_of, allows, snat_of
from weftwork.verifier.packet import Inside, Outside, Probe


class Way(Enum):
    DIRECT = "direct"
    """Between two addresses of the VPC."""
    TO_ROUTER = "to-router"
    """To a gateway's own address."""
    HAIRPIN = "hairpin"
    """By an external address of the VPC back into it."""
    TO_PEER = "to-peer"
    """To an address of a peered VPC, whoever has it."""
    FROM_PEER = "from-peer"
    OUTWARDS = "outwards"
    INWARDS = "inwards"
    BEYOND = "beyond"
    """Another project judges half of it, of which nothing is told."""


@dataclass(frozen=True, slots=True)
class Route:
    """`destination` and `destination_port` are what the receiver has: behind a DNAT, the inner ones.

    `sender` is None outside, `receiver` when nobody of the project has the destination. `peer` is the other project of
    a peering that it goes by, `peer_groups` what rules here call the groups of the port there.
    """

    way: Way
    sender: Port | None
    receiver: Port | None
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    destination_port: int
    dnat: Dnat | None = None
    snat: IPv4Address | None = None
    peer: ProjectKey | None = None
    peer_groups: tuple[str, ...] = ()

    @property
    def as_peer_of_sender(self) -> Peer:
        """The receiver, as the sender's rules see it."""
        if self.peer:
            return Peer(self.destination, self.peer_groups)
        inside = self.receiver and self.receiver.attachment and self.way is not Way.INWARDS
        return Peer(self.destination, self.receiver.groups if self.receiver and inside else ())

    @property
    def as_peer_of_receiver(self) -> Peer:
        if self.peer:
            return Peer(self.source, self.peer_groups)
        return Peer(self.source, self.sender.groups if self.sender and self.sender.attachment else ())

    def end(self, direction: Direction) -> Port | None:
        """The port whose rules of that direction decide."""
        return self.sender if direction is Direction.EGRESS else self.receiver

    def seen_by(self, direction: Direction) -> Peer:
        """The other end, as the rules of that direction see it."""
        return self.as_peer_of_sender if direction is Direction.EGRESS else self.as_peer_of_receiver

    def allowed_by(self, rule: Rule, direction: Direction) -> bool:
        return allows(rule, self.protocol, self.destination_port, self.seen_by(direction))


Peers = Mapping[ProjectKey, ProjectIntent]
"""The projects whose VPCs are peered with the asker's."""


def route_of(project: ProjectIntent, probe: Probe, *, meant: Port | None, peers: Peers) -> Route:
    """`meant` is the port that the asker named, who may have no way there yet."""
    peer = peer_of(probe, peers)
    there = _port_there(peers[peer], probe) if peer else None
    dnat = _dnat(project, probe)
    at = {address_of(port): port for port in project.ports.values()}
    inner, inner_port = probe.destination, probe.destination_port
    if dnat is not None and isinstance(dnat.internal_ip, IPv4Address):
        inner, inner_port = dnat.internal_ip, dnat.internal_port
    sender = project.ports.get(probe.source.port) if isinstance(probe.source, Inside) else None
    begins = sender or there
    source = probe.source.address if isinstance(probe.source, Outside) else address_of(begins) if begins else None
    assert source is not None, "who has no address sends nothing"
    return Route(
        way=_way(project, probe, peer),
        sender=sender,
        receiver=at.get(inner) or meant,
        source=source,
        destination=inner,
        protocol=probe.protocol,
        destination_port=inner_port,
        dnat=dnat,
        snat=snat_of(project),
        peer=peer,
        peer_groups=tuple(str(GroupRef(name, peer)) for name in there.groups) if there and there.attachment else (),
    )


def peer_of(probe: Probe, peers: Peers) -> ProjectKey | None:
    """By which peering it goes, if by any."""
    if isinstance(probe.source, Outside):
        return None
    if probe.source.owner in peers:
        return probe.source.owner
    return next((key for key, one in peers.items() if one.vpc and probe.destination in one.vpc.cidr), None)


def _port_there(peer: ProjectIntent, probe: Probe) -> Port | None:
    """The peer's end, if somebody has it."""
    if isinstance(probe.source, Inside) and probe.source.port in peer.ports:
        return peer.ports[probe.source.port]
    return next((port for port in peer.ports.values() if probe.destination in port.addresses), None)


def _way(project: ProjectIntent, probe: Probe, peer: ProjectKey | None) -> Way:
    destination = probe.destination
    if isinstance(probe.source, Inside) and probe.source.owner == peer:
        return Way.FROM_PEER
    if isinstance(probe.source, Outside):
        return Way.INWARDS
    if destination in {subnet.gateway for subnet in project.subnets.values()}:
        return Way.TO_ROUTER
    external = {one.external_ip for one in project.dnats.values()} | {snat_of(project)}
    if destination in external:
        return Way.HAIRPIN
    if project.vpc is not None and destination in project.vpc.cidr:
        return Way.DIRECT
    if peer is not None:
        return Way.TO_PEER
    return Way.OUTWARDS


def _dnat(project: ProjectIntent, probe: Probe) -> Dnat | None:
    wanted = (probe.destination, probe.protocol, probe.destination_port)
    return next(
        (
            one
            for one in project.dnats.values()
            if (one.external_ip, NUMBERS[one.protocol], one.external_port) == wanted
        ),
        None,
    )
