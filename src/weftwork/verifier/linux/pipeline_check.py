"""The rules that every packet of a VPC passes, whoever is in it: asked with guests who are there for that only.

What the chains say of their packets must be what the model of intents says.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from weftwork.model.port import Port
from weftwork.verifier.linux import guard_battery
from weftwork.verifier.linux.flow_check import check_flows
from weftwork.verifier.linux.frame import ICMP, TCP, UDP
from weftwork.verifier.linux.guard_battery import Guest
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.stand import (
    ANY,
    DENIED_IN,
    DENIED_OUT,
    EXTERNAL_PORT,
    MORE,
    NONE,
    OUTSIDE,
    SOURCE_PORT,
    Stand,
    stand_in,
    v4_of,
)
from weftwork.verifier.packet import Inside, Outside, Phase, Probe
from weftwork.verifier.violation import Fault, Violation

_PHASES = (Phase.OPENING, Phase.REPLY, Phase.ERROR, Phase.STRAY)


def check_pipeline(look: Look) -> Iterator[Violation]:
    stand = stand_in(look)
    if stand is None:
        return
    with look.view.changed(added=stand.resources, removed=stand.hidden):
        yield from _frames(stand)
        yield from stand.look.disagreements(
            stand.ports.values(), _probes(stand), f"the rules of {look.owner} let other packets pass than its intent."
        )
        yield from check_flows(stand)


def _frames(stand: Stand) -> Iterator[Violation]:
    look = stand.look
    for (_, kind), port in stand.ports.items():
        if kind != ANY:
            continue
        subnet = look.project.subnets[port.subnet]
        guest = Guest(port.device, port.mac, int(port.addresses[0]), int(subnet.gateway), "02:47:00:00:00:01")
        for sent in guard_battery.wrong(look.scope, guest):
            what = f"the guard lets a guest in {subnet.name} send, or stops or counts as it should not, {sent.words}."
            yield look.by_frame(Fault.GUARD, what, port.device, sent.words)


def _probes(stand: Stand) -> Iterator[Probe]:
    """Everything of who may talk; of the others, what they must not reach."""
    for (subnet, kind), port in stand.ports.items():
        if kind == ANY:
            yield from _of_talker(stand, port)
        elif kind != MORE:
            yield from _of_silent(stand, port, subnet, kind)
    yield from _from_outside(stand)


def _of_talker(stand: Stand, port: Port) -> Iterator[Probe]:
    look, me = stand.look, Inside(stand.look.owner, port.id)
    for other in stand.ports.values():
        if other is not port:
            yield from (Probe(me, v4_of(other), TCP, SOURCE_PORT, 80, phase) for phase in _PHASES)
            yield from (Probe(me, v4_of(other), TCP, SOURCE_PORT, denied) for denied in (DENIED_OUT, DENIED_IN))
            yield Probe(me, v4_of(other), ICMP, SOURCE_PORT, 0, Phase.REPLY)
            yield Probe(me, v4_of(other), 253, 0, 0, Phase.REPLY)
    for gateway in stand.gateways():
        yield from (Probe(me, gateway, ICMP, SOURCE_PORT, 0, phase) for phase in (Phase.REPLY, Phase.STRAY))
        yield from (Probe(me, gateway, protocol, SOURCE_PORT, 53) for protocol in (TCP, UDP, 253))
    for address in (OUTSIDE, *_neighbours(look), *look.external()):
        yield from (Probe(me, address, TCP, SOURCE_PORT, 80, phase) for phase in _PHASES)
        yield Probe(me, address, UDP, SOURCE_PORT, 53)
        yield Probe(me, address, ICMP, SOURCE_PORT)
    yield from (Probe(me, address, UDP, SOURCE_PORT, 53) for address in _nobody(look))
    for external in look.external():
        yield from (Probe(me, external, TCP, SOURCE_PORT, EXTERNAL_PORT, phase) for phase in _PHASES)


def _of_silent(stand: Stand, port: Port, subnet: str, kind: str) -> Iterator[Probe]:
    look, me = stand.look, Inside(stand.look.owner, port.id)
    for (_, other_kind), other in stand.ports.items():
        if other_kind == ANY:
            yield from (Probe(me, v4_of(other), TCP, SOURCE_PORT, 80, phase) for phase in (Phase.OPENING, Phase.STRAY))
            yield Probe(me, v4_of(other), ICMP, SOURCE_PORT)
    yield Probe(me, look.project.subnets[subnet].gateway, ICMP, SOURCE_PORT, 0, Phase.REPLY)  # type: ignore[arg-type]
    # Who is in no map is taken for somebody outside, who may come through a DNAT.
    own = look.external() if kind == NONE else []
    for address in (OUTSIDE, *_neighbours(look), *own):
        yield Probe(me, address, TCP, SOURCE_PORT, 80)
        yield Probe(me, address, UDP, SOURCE_PORT, 53)
    yield from (Probe(me, external, TCP, SOURCE_PORT, EXTERNAL_PORT) for external in own)


def _nobody(look: Look) -> Iterator[IPv4Address]:
    yield IPv4Address("255.255.255.255")
    yield IPv4Address("224.0.0.1")
    vpc = look.project.vpc
    if vpc and isinstance(vpc.cidr, IPv4Network):
        yield vpc.cidr.broadcast_address
        yield vpc.cidr.network_address


def _neighbours(look: Look) -> list[IPv4Address]:
    """Some address on the external network that is another tenant's: the first that is found."""
    for scope, link in look.view.uplinks():
        if scope is not look.scope:
            held = scope.addresses.get(link.name)
            if held:
                return [IPv4Address(next(iter(held)))]
    return []


def _from_outside(stand: Stand) -> Iterator[Probe]:
    look = stand.look
    vpc = look.project.vpc
    sources = [OUTSIDE]
    if vpc and isinstance(vpc.cidr, IPv4Network):
        sources.append(vpc.cidr.broadcast_address - 1)
    inside = [port.addresses[0] for port in stand.ports.values()]
    for source, external in product(sources, look.external()):
        for phase in (Phase.OPENING, Phase.REPLY, Phase.ERROR, Phase.STRAY):
            yield Probe(Outside(source), external, TCP, SOURCE_PORT, EXTERNAL_PORT, phase)
        for protocol, port in ((TCP, EXTERNAL_PORT + 1), (UDP, EXTERNAL_PORT), (UDP, EXTERNAL_PORT + 1), (ICMP, 0)):
            yield Probe(Outside(source), external, protocol, SOURCE_PORT, port)
    if look.external():
        for address in inside:
            assert isinstance(address, IPv4Address)
            yield Probe(Outside(OUTSIDE), address, TCP, SOURCE_PORT, 80)
