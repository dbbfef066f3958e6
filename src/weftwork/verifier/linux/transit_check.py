"""What leaves a VPC on a host of the fleet, and comes back: by the transit to the gateway, and by nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.intent import ProjectIntent
from weftwork.program.linux import Family, NftElement, Vtep
from weftwork.verifier.linux.frame import TCP, UDP, Flow, Packet
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.sets import NotUnderstood, Values
from weftwork.verifier.linux.tables import Stop, Table
from weftwork.verifier.model import NUMBERS, dnats_of, snat_of
from weftwork.verifier.violation import Fault, Violation

OFFERED = "offered"
_EVERYWHERE = IPv4Network("0.0.0.0/0")
_OUTSIDE = IPv4Address("192.0.2.99")
_LEFT = "to_outside"
_SERVICE = 64999


def check_transit(look: Look) -> Iterator[Violation]:
    project, scope = look.project, look.scope
    used = translates(project)
    tunnels = [one for one in scope.links.values() if isinstance(one, Vtep) and not one.bridge]
    uplinks = look.uplinks()
    if uplinks:
        yield _wrong(look, Fault.ISOLATION, f"{uplinks[0].name} leads outside past the gateway.")
    if len(tunnels) > 1 or (tunnels and not used):
        yield _wrong(look, Fault.ISOLATION, f"{tunnels[0].name} leads outside, and the VPC translates nothing.")
    legs = {one.name for one in look.legs()}
    for route in scope.routes.values():
        if route.interface in legs:
            continue
        if route.destination != _EVERYWHERE or route.interface not in {one.name for one in tunnels}:
            yield _wrong(look, Fault.ISOLATION, f"the route to {route.destination} leaves by {route.interface}.")
    for tunnel in tunnels:
        yield from _tunnel(look, tunnel)
        yield from _guards(look, tunnel.name)
    if used and not tunnels and look.view.has_gateways:
        yield _wrong(look, Fault.REACH, "nothing leads to the gateway.")
    yield from _offers(look)
    yield from _calls(look, tunnels[0].name if tunnels else "ext0")
    yield from _leaves(look, tunnels[0].name if tunnels else "ext0")


def translates(project: ProjectIntent) -> bool:
    return snat_of(project) is not None or any(True for _ in dnats_of(project))


def _tunnel(look: Look, tunnel: Vtep) -> Iterator[Violation]:
    scope, vpc = look.scope, look.project.vpc
    if vpc is None or tunnel.vni != vpc.vni:
        yield _wrong(look, Fault.ISOLATION, f"{tunnel.name} carries VNI {tunnel.vni}, which is not the VPC's.")
    if tunnel.local != look.view.underlay:
        yield _wrong(look, Fault.REACH, f"{tunnel.name} sends from {tunnel.local}.")
    way = scope.way(int(_OUTSIDE))
    mac = scope.neighbours.get((tunnel.name, way.gateway or 0)) if way else None
    entry = scope.remotes.entry(f"{tunnel.name} {mac}")
    if way is None or way.interface != tunnel.name or entry is None:
        yield _wrong(look, Fault.REACH, f"the way outside is {way}, to the MAC {mac}, which nothing leads to.")
    behind = [one for one in scope.remotes.names() if one.startswith(f"{tunnel.name} ")]
    gateway = look.view.gateway_address
    for name in behind:
        known = scope.remotes.entry(name)
        if known is not None and gateway is not None and known.host != gateway:
            yield _wrong(look, Fault.ISOLATION, f"what leaves goes to {known.host} instead of the gateway.")


def wanted_dnats(project: ProjectIntent) -> dict[Values, Values]:
    return {
        (int(one.external_ip), NUMBERS[one.protocol], one.external_port): (int(one.internal_ip), one.internal_port)
        for one in dnats_of(project)
    }


def _offers(look: Look) -> Iterator[Violation]:
    """What may be called from outside, and by which names it is called from inside."""
    sets = look.scope.tables[Family.INET].sets
    wanted = wanted_dnats(look.project) if look.view.has_gateways else {}
    inner = {(address, key[1], port) for key, (address, port) in wanted.items()}
    said = {key for key, _ in sets[OFFERED]} if OFFERED in sets else set()
    for one in sorted(said ^ inner, key=str):
        words = f"{IPv4Address(int(one[0]))} {one[2]}/{one[1]}"
        if one in said:
            yield _wrong(look, Fault.ISOLATION, f"{words} can be called from outside, and no DNAT leads there.")
        else:
            yield _wrong(look, Fault.REACH, f"{words} cannot be called from outside.")
    named = dict(sets["dnat_map"]) if "dnat_map" in sets else {}
    flows = {key for key, _ in sets["dnat_flows"]} if "dnat_flows" in sets else set()
    if named != wanted or flows != {(*key, *value) for key, value in wanted.items()}:
        yield _wrong(look, Fault.REACH, "external addresses lead elsewhere from inside than from outside.")


def _calls(look: Look, tunnel: str) -> Iterator[Violation]:
    """What is offered can be called by the tunnel and answers there, whatever the protocol: asked of our guest."""
    table, vpc = look.scope.tables[Family.INET], look.project.vpc
    if vpc is None or not isinstance(vpc.cidr, IPv4Network) or OFFERED not in table.sets:
        return
    inner = vpc.cidr.broadcast_address - 1
    offers = tuple(
        NftElement(look.scope.name, Family.INET, OFFERED, f"{inner} . {protocol} . {_SERVICE}")
        for protocol in (TCP, UDP)
    )
    with look.view.changed(added=offers):
        for protocol in (TCP, UDP):
            there = Packet(source=int(_OUTSIDE), destination=int(inner), protocol=protocol, iif=tunnel)
            there.source_port, there.destination_port = 40000, _SERVICE
            flow = Flow(protocol, there.ends, there.ends.reversed)
            back = Packet(source=int(inner), destination=int(_OUTSIDE), protocol=protocol, oif=tunnel, is_reply=True)
            back.source_port, back.destination_port = _SERVICE, 40000
            for packet, passes in ((there, True), (back, True), (replace(there, iif="br1"), False)):
                packet.flow = flow
                if _passes(table, "from_outside", packet) != passes:
                    what = "what is offered is not called by the gateway, or past it."
                    yield _wrong(look, Fault.REACH, what)


def _guards(look: Look, tunnel: str) -> Iterator[Violation]:
    """Nobody outside wears the address of a guest: it is stopped before anything else looks at it."""
    vpc = look.project.vpc
    if vpc is None or not isinstance(vpc.cidr, IPv4Network):
        return
    inside = int(vpc.cidr.network_address) + 9
    for source, counted in ((inside, ["spoofed_outside"]), (int(_OUTSIDE), [])):
        packet = Packet(source=source, destination=inside, protocol=TCP, iif=tunnel)
        look.scope.tables[Family.INET].run("prerouting", packet)
        if packet.counted != counted:
            yield _wrong(
                look, Fault.DEFENCE, f"from {IPv4Address(source)} outside a packet is counted as {packet.counted}."
            )


def _leaves(look: Look, tunnel: str) -> Iterator[Violation]:
    """Nothing leaves without SNAT; with it, by the tunnel only; nothing that has the address of a guest does."""
    table, snat, vpc = look.scope.tables[Family.INET], snat_of(look.project), look.project.vpc
    if vpc is None or not isinstance(vpc.cidr, IPv4Network):
        return
    inside = int(vpc.cidr.network_address) + 9
    may = snat is not None and look.view.has_gateways
    cases = ((tunnel, int(_OUTSIDE), may), ("br1", int(_OUTSIDE), False), (tunnel, inside, False))
    for oif, destination, passes in cases:
        if _decides(table, _LEFT, Packet(destination=destination, protocol=TCP, oif=oif), inside) != passes:
            what = f"to {IPv4Address(destination)} by {oif} a packet {'may not leave' if passes else 'leaves'}."
            yield _wrong(look, Fault.REACH if passes else Fault.ISOLATION, what)
    for protocol in (TCP, UDP):
        packet = Packet(source=int(_OUTSIDE), destination=inside, protocol=protocol, destination_port=1, iif=tunnel)
        if _decides(table, "from_outside", packet, int(_OUTSIDE)):
            yield _wrong(look, Fault.ISOLATION, "from outside a packet comes in to what no DNAT leads to.")


def _decides(table: Table, chain: str, packet: Packet, source: int) -> bool:
    packet.source = source
    packet.flow = Flow(packet.protocol, packet.ends, packet.ends.reversed)
    return _passes(table, chain, packet)


def _passes(table: Table, chain: str, packet: Packet) -> bool:
    if chain not in table.chains:
        raise NotUnderstood(f"no chain is called {chain}")
    packet.mark = 2
    return not isinstance(table.decides(chain, packet), Stop | None)


def _wrong(look: Look, fault: Fault, what: str) -> Violation:
    return look.by_frame(fault, what, "ext0", "what is to leave, and what comes back")
