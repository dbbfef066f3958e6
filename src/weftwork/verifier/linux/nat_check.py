"""The way out of a VPC and into it: every translation, every external address, every route is the intent's."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.port import Port
from weftwork.program.linux import Family, Uplink
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.sets import Values
from weftwork.verifier.model import NUMBERS, address_of, dnats_of
from weftwork.verifier.packet import TCP, UDP, Inside, Outside, Phase, Probe
from weftwork.verifier.violation import Fault, Violation

_OUTSIDE = IPv4Address("192.0.2.99")
_SOURCE_PORT = 40000


def check_nat(look: Look, destinations: tuple[IPv4Network, ...] = ()) -> Iterator[Violation]:
    """`destinations` are what routes in question lead to."""
    yield from _translations(look)
    yield from _addresses(look)
    yield from _routes(look, destinations)


def _translations(look: Look) -> Iterator[Violation]:
    sets = look.scope.tables[Family.INET].sets
    said = dict(sets["dnat_map"]) if "dnat_map" in sets else {}
    flows = {key for key, _ in sets["dnat_flows"]} if "dnat_flows" in sets else set()
    wanted: dict[Values, Values] = {
        (int(one.external_ip), NUMBERS[one.protocol], one.external_port): (int(one.internal_ip), one.internal_port)
        for one in dnats_of(look.project)
    }
    if look.view.gateway is None and not look.uplinks():
        return  # without an external network there is no NAT
    for key in sorted(said.keys() | wanted.keys(), key=str):
        if said.get(key) == wanted.get(key):
            continue
        external, protocol, port = (int(one) for one in key)
        probe = Probe(Outside(_OUTSIDE), IPv4Address(external), protocol, _SOURCE_PORT, port)
        ports = [one for value in (said.get(key), wanted.get(key)) if value and (one := look.has(int(value[0])))]
        name = f"{IPv4Address(external)}:{port}/{protocol}"
        what = f"{name} leads to {_place(said.get(key))}, not {_place(wanted.get(key))}."
        fault = Fault.REACH if key in wanted else Fault.ISOLATION
        yield look.proof(ports, (probe,), what, fault)
    for flow in sorted(flows ^ {(*key, *value) for key, value in wanted.items()}, key=str):
        external, protocol, port = (int(one) for one in flow[:3])
        probe = Probe(Outside(_OUTSIDE), IPv4Address(external), protocol, _SOURCE_PORT, port, Phase.MIDDLE)
        inner = look.has(int(flow[3]))
        what = (
            f"a flow through {IPv4Address(external)}:{port} to {_place(flow[3:])} would be judged as none is any more."
        )
        yield look.proof([inner] if inner else [], (probe,), what, Fault.STALE)


def _addresses(look: Look) -> Iterator[Violation]:
    """The external addresses on the uplink are the owner's, all of them and nobody else's."""
    uplinks = look.uplinks()
    wanted = {int(one) for one in look.external()}
    said = {address for link in uplinks for address in look.scope.addresses.get(link.name, {})}
    if len(uplinks) > 1:
        yield Violation(Fault.ISOLATION, look.scope.name, "it has more than one uplink.", _outwards(look))
    if not uplinks and look.view.gateway is None:
        return
    for address in sorted(said ^ wanted):
        probe = Probe(Outside(_OUTSIDE), IPv4Address(address), TCP, _SOURCE_PORT, 80)
        whose = "the owner's" if address in wanted else "not the owner's"
        where = "on its uplink" if address in said else "not on its uplink"
        what = f"{IPv4Address(address)} is {whose} and {where}."
        yield look.proof((), (probe,), what, Fault.REACH if address in wanted else Fault.ISOLATION)
    for address in sorted(said):
        places = {(link.peer_scope, link.peer_bridge) for link in uplinks}
        holders = [
            scope.name
            for scope, link in look.view.holders(address)
            if (link.peer_scope, link.peer_bridge) in places and scope is not look.scope
        ]
        if holders:
            probe = Probe(Outside(_OUTSIDE), IPv4Address(address), TCP, _SOURCE_PORT, 80)
            what = f"{IPv4Address(address)} stands in {', '.join(holders)}, too."
            yield Violation(Fault.ISOLATION, look.scope.name, what, probe)


def _routes(look: Look, destinations: tuple[IPv4Network, ...]) -> Iterator[Violation]:
    ports = look.some_ports(1)
    legs = {one.name for one in look.legs()}
    for route in look.scope.routes.values():
        if route.interface in legs:
            continue
        link = look.scope.links.get(route.interface)
        vpc = look.project.vpc
        inside = vpc is not None and route.destination.overlaps(vpc.cidr) and route.destination.prefixlen
        if not isinstance(link, Uplink) or inside:
            probe = _outwards(look, route.destination[1] if route.destination.num_addresses > 1 else None)
            what = f"the route to {route.destination} leaves by {route.interface}."
            yield look.proof(ports, [probe] if probe else [], what, Fault.ISOLATION)
        strange = route.destination.prefixlen and look.view.networks and route.destination not in look.view.networks
        if strange or (route.gateway is not None and route.destination.prefixlen):
            probe = _outwards(look, route.destination[1] if route.destination.num_addresses > 1 else None)
            what = f"the route to {route.destination} leads to what is no network outside."
            yield look.proof(ports, [probe] if probe else [], what, Fault.REACH)
        gateway = None if route.gateway is None else int(route.gateway)
        if gateway is not None and look.view.gateway not in (None, gateway):
            probe = _outwards(look)
            what = f"the route to {route.destination} goes by {route.gateway}, which is no gateway."
            yield look.proof(ports, [probe] if probe else [], what, Fault.REACH)
    for network in {*destinations, *look.view.networks, IPv4Network("0.0.0.0/0")}:
        yield from _unrouted(look, network)


def _unrouted(look: Look, network: IPv4Network) -> Iterator[Violation]:
    """What a route that came or went leads to is reached as the uplink's other routes have it."""
    if not look.external():
        return
    uplinks = {link.name for link in look.uplinks()}
    way = look.scope.way(int(network.network_address) + (1 if network.num_addresses > 1 else 0))
    if way is None or way.interface not in uplinks or (network.prefixlen and way.gateway is not None):
        probe = _outwards(look, network[1] if network.num_addresses > 1 else None)
        what = f"nothing leads to {network} as the external network needs."
        yield look.proof(look.some_ports(1), [probe] if probe else [], what, Fault.REACH)


def _outwards(look: Look, address: object = None) -> Probe | None:
    port: Port | None = next(iter(look.some_ports(1)), None)
    if port is None or address_of(port) is None:
        return None
    destination = address if isinstance(address, IPv4Address) else _OUTSIDE
    return Probe(Inside(look.owner, port.id), destination, UDP, _SOURCE_PORT, 53)


def _place(value: Values | None) -> str:
    return f"{IPv4Address(int(value[0]))}:{value[1]}" if value else "nowhere"
