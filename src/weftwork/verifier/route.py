"""The way that a packet takes through one project's network, whether or not it gets through: who stands at its ends,
what they look like to each other's groups, and what is between."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address

from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.port import Port
from weftwork.model.security_group import Rule
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
    OUTWARDS = "outwards"
    INWARDS = "inwards"


@dataclass(frozen=True, slots=True)
class Route:
    """`destination` and `destination_port` are what the receiver has: behind a DNAT, the inner ones.

    `sender` is None outside, `receiver` when nobody of the project has the destination.
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

    @property
    def as_peer_of_sender(self) -> Peer:
        """The receiver, as the sender's rules see it."""
        inside = self.receiver and self.receiver.attachment and self.way is not Way.INWARDS
        return Peer(self.destination, self.receiver.groups if self.receiver and inside else ())

    @property
    def as_peer_of_receiver(self) -> Peer:
        return Peer(self.source, self.sender.groups if self.sender and self.sender.attachment else ())

    def end(self, direction: Direction) -> Port | None:
        """The port whose rules of that direction decide."""
        return self.sender if direction is Direction.EGRESS else self.receiver

    def peer(self, direction: Direction) -> Peer:
        return self.as_peer_of_sender if direction is Direction.EGRESS else self.as_peer_of_receiver

    def allowed_by(self, rule: Rule, direction: Direction) -> bool:
        return allows(rule, self.protocol, self.destination_port, self.peer(direction))


def route_of(project: ProjectIntent, probe: Probe, meant: Port | None = None) -> Route:
    """`meant` is the port that the asker named, who may have no way there yet."""
    dnat = _dnat(project, probe)
    at = {address_of(port): port for port in project.ports.values()}
    inner, inner_port = probe.destination, probe.destination_port
    if dnat is not None and isinstance(dnat.internal_ip, IPv4Address):
        inner, inner_port = dnat.internal_ip, dnat.internal_port
    sender = project.ports.get(probe.source.port) if isinstance(probe.source, Inside) else None
    source = probe.source.address if isinstance(probe.source, Outside) else address_of(sender) if sender else None
    assert source is not None, "who has no address sends nothing"
    return Route(
        way=_way(project, probe),
        sender=sender,
        receiver=at.get(inner) or meant,
        source=source,
        destination=inner,
        protocol=probe.protocol,
        destination_port=inner_port,
        dnat=dnat,
        snat=snat_of(project),
    )


def _way(project: ProjectIntent, probe: Probe) -> Way:
    destination = probe.destination
    if isinstance(probe.source, Outside):
        return Way.INWARDS
    if destination in {subnet.gateway for subnet in project.subnets.values()}:
        return Way.TO_ROUTER
    external = {one.external_ip for one in project.dnats.values()} | {snat_of(project)}
    if destination in external:
        return Way.HAIRPIN
    if project.vpc is not None and destination in project.vpc.cidr:
        return Way.DIRECT
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
