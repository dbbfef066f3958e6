"""The stations of a packet's way, in order, and what each of them says to it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import PolicyKind
from weftwork.model.port import Port
from weftwork.verifier.edits import Direction
from weftwork.verifier.model import address_of
from weftwork.verifier.packet import Probe
from weftwork.verifier.reasons import Reason, ReasonCode
from weftwork.verifier.route import Route, Way
from weftwork.verifier.wording import port_text, rule_text, service_text


class Station(Enum):
    PORT = "port"
    GUARD = "guard"
    EGRESS = "egress"
    """The sender's security groups."""
    SUBNET = "subnet"
    ROUTER = "router"
    NAT = "nat"
    OUTSIDE = "outside"
    PEER = "peer"
    """The VPC of a peered project."""
    INGRESS = "ingress"
    """The receiver's security groups."""
    OTHER_SIDE = "beyond"
    """All that another project judges."""


class Passage(Enum):
    PASSES = "passes"
    STOPS = "stops"
    UNKNOWN = "unknown"
    """It depends on what would be there if the way led so far."""


@dataclass(frozen=True, slots=True)
class Hop:
    """`name` is the thing's, as a person types it; `reasons` are those that decide there."""

    station: Station
    name: str
    detail: str
    passage: Passage
    reasons: tuple[Reason, ...] = ()


_AT: Mapping[ReasonCode, Station] = {
    ReasonCode.SENDER_NOT_FOUND: Station.GUARD,
    ReasonCode.SENDER_NOT_ATTACHED: Station.GUARD,
    ReasonCode.SPOOFED_SOURCE: Station.GUARD,
    ReasonCode.TUNNEL: Station.GUARD,
    ReasonCode.ROGUE_DHCP: Station.GUARD,
    ReasonCode.EGRESS_RULE: Station.EGRESS,
    ReasonCode.NO_EGRESS_RULE: Station.EGRESS,
    ReasonCode.INGRESS_RULE: Station.INGRESS,
    ReasonCode.NO_INGRESS_RULE: Station.INGRESS,
    ReasonCode.SNAT: Station.NAT,
    ReasonCode.DNAT: Station.NAT,
    ReasonCode.HAIRPIN: Station.NAT,
    ReasonCode.NO_SNAT: Station.NAT,
    ReasonCode.NO_DNAT: Station.NAT,
    ReasonCode.NOT_FROM_OUTSIDE: Station.NAT,
    ReasonCode.REFUSED_OUTSIDE: Station.OUTSIDE,
    ReasonCode.PEERING: Station.PEER,
    ReasonCode.REFUSED_BY_PEER: Station.PEER,
    ReasonCode.RECEIVER_NOT_ATTACHED: Station.PORT,
}
"""Where a reason decides; all others do where the packet is led on, at the subnet or the router."""


def hops_of(
    project: ProjectIntent, probe: Probe, route: Route, reasons: Iterable[Reason], delivered: bool
) -> tuple[Hop, ...]:
    """`reasons` are what stops the packet and, where it is known, what lets it pass."""
    by_station: dict[Station, list[Reason]] = {}
    for reason in reasons:
        by_station.setdefault(_place_of(project, route, reason), []).append(reason)
    hops: list[Hop] = []
    for station, name, detail in _stations(project, probe, route):
        is_start = not hops
        here = () if station is Station.PORT and is_start else tuple(by_station.get(station, ()))
        hops.append(
            Hop(station, name, _detail(station, detail, here), _passage(station, here, delivered, is_start), here)
        )
    return tuple(hops)


def _place_of(project: ProjectIntent, route: Route, reason: Reason) -> Station:
    if reason.code in (ReasonCode.POLICY_DENIED, ReasonCode.ISOLATED):
        return of_policy(project, route, reason.thing)
    place = _AT.get(reason.code, _leading(route))
    # From elsewhere it comes by the guard of the receiver alone, which stands at the receiver's port.
    return Station.PORT if place is Station.GUARD and route.sender is None else place


def of_policy(project: ProjectIntent, route: Route, name: str) -> Station:
    """With the groups of the end that the policy is for."""
    policy = project.policies[name]
    if policy.kind is not PolicyKind.ISOLATION:
        return Station.EGRESS if policy.kind is PolicyKind.EGRESS else Station.INGRESS
    sender = address_of(route.sender) if route.sender else None
    whose = project.subnets[policy.subnet] if policy.subnet else project.vpc
    return Station.EGRESS if whose and sender and sender in whose.cidr else Station.INGRESS


def _leading(route: Route) -> Station:
    return Station.SUBNET if _is_one_subnet(route) else Station.ROUTER


def _passage(station: Station, reasons: tuple[Reason, ...], delivered: bool, is_start: bool) -> Passage:
    if any(one.stops for one in reasons):
        return Passage.STOPS
    decides = station in (Station.EGRESS, Station.INGRESS, Station.NAT)
    return Passage.UNKNOWN if decides and not reasons and not delivered and not is_start else Passage.PASSES


def _detail(station: Station, detail: str, reasons: tuple[Reason, ...]) -> str:
    """The rule or the policy that decides says more than anything else about a group."""
    direction = Direction.EGRESS if station is Station.EGRESS else Direction.INGRESS
    told = [
        f"{one.thing}: {rule_text(one.rule, direction) if one.rule else 'isolation'}"
        for one in reasons
        if one.rule is not None or one.code is ReasonCode.ISOLATED
    ]
    return "; ".join(told) or detail


def _stations(project: ProjectIntent, probe: Probe, route: Route) -> Iterator[tuple[Station, str, str]]:
    if route.sender is not None:
        yield (Station.PORT, *_port(route.sender))
        yield Station.GUARD, port_text(route.sender), "its own MAC and address, no tunnels, no DHCP answers"
        if route.way is not Way.TO_ROUTER:
            yield Station.EGRESS, _groups(route.sender), "egress rules"
    elif route.peer is not None:
        yield Station.PEER, str(route.peer), f"{route.source}, of a peered VPC"
    else:
        yield Station.OUTSIDE, str(route.source), "beyond the external network"
    yield from _between(project, probe, route)
    if route.way is Way.OUTWARDS:
        yield Station.OUTSIDE, str(probe.destination), "beyond the external network"
    elif route.way is Way.TO_PEER:
        yield Station.PEER, str(route.peer), f"{probe.destination}, of a peered VPC"
    elif route.receiver is not None and route.way is not Way.TO_ROUTER:
        yield Station.INGRESS, _groups(route.receiver), "ingress rules"
        yield (Station.PORT, *_port(route.receiver))


def _between(project: ProjectIntent, probe: Probe, route: Route) -> Iterator[tuple[Station, str, str]]:
    """Subnet, router and NAT."""
    subnets = [
        project.subnets[port.subnet]
        for port in (route.sender, route.receiver)
        if port and port.subnet in project.subnets
    ]
    gateways = " to ".join(dict.fromkeys(f"{one.name} ({one.gateway})" for one in subnets))
    router = (Station.ROUTER, str(project.vpc.name if project.vpc else ""), gateways)
    if route.way is Way.DIRECT and _is_one_subnet(route):
        yield Station.SUBNET, subnets[0].name, str(subnets[0].cidr)
    elif route.way in (Way.DIRECT, Way.TO_ROUTER, Way.TO_PEER, Way.FROM_PEER):
        yield router
    elif route.way is Way.OUTWARDS:
        yield router
        yield Station.NAT, "snat", f"source becomes {route.snat}" if route.snat else "no source address for outside"
    elif route.way is Way.HAIRPIN:
        yield router
        yield (Station.NAT, *_dnat(probe, route))
    else:
        yield (Station.NAT, *_dnat(probe, route))
        yield router


def _is_one_subnet(route: Route) -> bool:
    return bool(route.sender and route.receiver and route.sender.subnet == route.receiver.subnet)


def _port(port: Port) -> tuple[str, str]:
    attached = "attached" if port.attachment else "not attached"
    return port_text(port), f"{address_of(port)}, {attached}"


def _groups(port: Port) -> str:
    return ",".join(port.groups) or "-"


def _dnat(probe: Probe, route: Route) -> tuple[str, str]:
    outer = f"{probe.destination}:{service_text(probe.protocol, probe.destination_port).rpartition('/')[2]}"
    if route.dnat is None:
        return "dnat", f"nothing leads on from {outer}"
    return "dnat", f"{route.dnat.external} leads to {route.destination}:{route.destination_port}"
