"""A VPC on a gateway of the fleet: what is translated is the intent's, and nothing else passes."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Port
from weftwork.program.linux import Family, Namespace, Neighbour, RemoteEntry, Route, Uplink, Vtep
from weftwork.program.resource import Resource
from weftwork.verifier.linux.frame import TCP, Packet
from weftwork.verifier.linux.journey import Beyond, Journey, Lost
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.linux.transit_check import wanted_dnats
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.model import dnats_of, snat_of
from weftwork.verifier.violation import Fault, Frame, Violation

MARK = "gateway "
_OUTSIDE = IPv4Address("192.0.2.99")
_PORT = 40000


def check_gateway(view: ProgramView, scope: Scope, part: Iterable[Resource], intent: Intent) -> Iterator[Violation]:
    org, _, name = scope.mark.removeprefix(MARK).partition("/")
    project = intent.get(ProjectKey(org, name))
    tunnel = next((one for one in scope.links.values() if isinstance(one, Vtep)), None)
    if project is None or project.vpc is None or tunnel is None or tunnel.bridge or tunnel.vni != project.vpc.vni:
        yield _wrong(scope, Fault.ISOLATION, f"it is marked as {org}/{name}'s, and its tunnel is not.")
        return
    if any(True for _ in scope.devices()):
        yield _wrong(scope, Fault.ISOLATION, "a guest stands on a gateway.")
    yield from _outside(view, scope, project, project.vpc.cidr, tunnel.name)
    if isinstance(project.vpc.cidr, IPv4Network):
        yield from _packets(view, scope, project, project.vpc.cidr, tunnel.name)
    yield from _ways(scope, part, project, tunnel.name)


def _outside(view: ProgramView, scope: Scope, project: ProjectIntent, cidr: object, tunnel: str) -> Iterator[Violation]:
    snat = snat_of(project)
    wanted = {int(one.external_ip) for one in dnats_of(project)} | ({int(snat)} if snat else set())
    uplinks = [one for one in scope.links.values() if isinstance(one, Uplink)]
    said = {address for one in uplinks for address in scope.addresses.get(one.name, {})}
    if len(uplinks) > 1:
        yield _wrong(scope, Fault.ISOLATION, "it has more than one uplink.")
    for address in sorted(said ^ wanted):
        fault = Fault.ISOLATION if address in said else Fault.REACH
        yield _wrong(scope, fault, f"{IPv4Address(address)} is of the program or of the intent, and not of both.")
    for address in sorted(said):
        if any(other is not scope for other, _ in view.holders(address)):
            yield _wrong(scope, Fault.ISOLATION, f"{IPv4Address(address)} stands elsewhere, too.")
    names = {one.name for one in uplinks}
    for route in scope.routes.values():
        if (route.destination == cidr) != (route.interface == tunnel) or route.interface not in {*names, tunnel}:
            yield _wrong(scope, Fault.ISOLATION, f"the route to {route.destination} leaves by {route.interface}.")
    if cidr not in {route.destination for route in scope.routes.values()}:
        yield _wrong(scope, Fault.REACH, "nothing leads back to the guests.")
    sets = scope.tables[Family.INET].sets
    named = dict(sets["dnat_map"]) if "dnat_map" in sets else {}
    flows = {key for key, _ in sets["dnat_flows"]} if "dnat_flows" in sets else set()
    dnats = wanted_dnats(project)
    if named != dnats or flows != {(*key, *value) for key, value in dnats.items()}:
        strange = bool(named.items() - dnats.items())
        yield _wrong(scope, Fault.ISOLATION if strange else Fault.REACH, "its DNATs are not those of the intent.")


def _packets(
    view: ProgramView, scope: Scope, project: ProjectIntent, cidr: IPv4Network, tunnel: str
) -> Iterator[Violation]:
    snat, guest, outside = snat_of(project), int(cidr.network_address) + 9, int(_OUTSIDE)
    sent = _sent(view, scope, tunnel, guest, outside)
    seen = IPv4Address(sent.packet.source) if isinstance(sent, Beyond) else None
    if seen != snat:
        what = f"what leaves the VPC is {seen or 'nothing'} outside instead of {snat or 'nothing'}."
        yield _wrong(scope, Fault.REACH if seen is None else Fault.ISOLATION, what)
    refused = [(tunnel, outside, int(_OUTSIDE) + 1, "what is no guest's")]
    uplink = next((one.name for one in scope.links.values() if isinstance(one, Uplink)), None)
    if uplink is not None:
        refused += [(uplink, outside, guest, "a call to a guest's own address")]
        refused += [(uplink, guest, int(one), "a guest outside") for one in scope.addresses.get(uplink, {})]
        refused += [(uplink, outside, int(one), "a call to no DNAT") for one in scope.addresses.get(uplink, {})]
    for interface, source, destination, words in refused:
        if not isinstance(_sent(view, scope, interface, source, destination), Lost):
            yield _wrong(scope, Fault.ISOLATION, f"{words} passes, from {IPv4Address(source)} by {interface}.")
    for (address, protocol, port), (inner, inner_port) in wanted_dnats(project).items() if uplink else ():
        called = _sent(view, scope, uplink or "", outside, int(address), int(protocol), int(port))
        ends = (called.packet.destination, called.packet.destination_port) if isinstance(called, Beyond) else None
        if ends != (inner, inner_port):
            yield _wrong(scope, Fault.REACH, f"{IPv4Address(int(address))}:{port} leads to {ends}.")


def _sent(
    view: ProgramView, scope: Scope, interface: str, source: int, destination: int, protocol: int = TCP, port: int = 3
) -> object:
    packet = Packet(source=source, destination=destination, protocol=protocol, source_port=_PORT, destination_port=port)
    return Journey(view).by_uplink(scope, interface, packet)


def _ways(scope: Scope, part: Iterable[Resource], project: ProjectIntent, tunnel: str) -> Iterator[Violation]:
    """To each guest by its host; looked at are those that the change speaks of."""
    part = tuple(part)
    if any(isinstance(one, Namespace | Vtep | Route) for one in part):
        addresses = {int(one) for port in project.ports.values() for one in port.addresses if one.version == 4}
        addresses |= {address for interface, address in scope.neighbours if interface == tunnel}
    else:
        addresses = {int(one.address) for one in part if isinstance(one, Neighbour)}
        macs = {one.mac for one in part if isinstance(one, RemoteEntry)}
        addresses |= {address for (_, address), mac in scope.neighbours.items() if mac in macs}
    ports = {int(one): port for port in project.ports.values() for one in port.addresses} if addresses else {}
    for address in sorted(addresses):
        entry = scope.remotes.entry(f"{tunnel} {scope.neighbours.get((tunnel, address))}")
        said, wanted = entry.host if entry else None, _host_of(ports.get(address))
        if said != wanted:
            fault = Fault.ISOLATION if said else Fault.REACH
            yield _wrong(scope, fault, f"{IPv4Address(address)} is looked for at {said} instead of {wanted}.")


def _host_of(port: Port | None) -> IPv4Address | None:
    return port.attachment.underlay if port and port.attachment else None


def _wrong(scope: Scope, fault: Fault, what: str) -> Violation:
    return Violation(fault, scope.name, what, Frame(scope.name, "in0", "what is translated"))
