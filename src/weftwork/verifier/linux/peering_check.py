"""The legs towards peers: each leads to one VPC, with which both sides want to talk, and only its addresses pass."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import peers_of
from weftwork.model.port import Port
from weftwork.program.linux import Family, Route, Uplink
from weftwork.verifier.linux.group_battery import MEMBERS
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.model import MARK, owner_of
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.model import address_of
from weftwork.verifier.packet import TCP, Inside, Probe
from weftwork.verifier.violation import Fault, Violation

PEERS = "peers"
_SOURCE_PORT = 40000


def ranges(look: Look) -> dict[ProjectKey, IPv4Network]:
    """What each peer's guests have for addresses."""
    found = ((owner, peer.vpc) for owner, peer in peers_of(look.intent, look.owner))
    return {owner: vpc.cidr for owner, vpc in found if vpc and isinstance(vpc.cidr, IPv4Network)}


def check_peerings(look: Look) -> Iterator[Violation]:
    wanted = ranges(look)
    led: set[ProjectKey] = set()
    for leg in look.legs():
        others = [(scope, link) for scope, link in look.view.on_segment(leg) if scope is not look.scope]
        owners = [owner_of(scope) for scope, _ in others]
        strangers = [one for one in owners if one not in wanted]
        if strangers or len(owners) > 1 or (owners and owners[0] in led):
            what = f"{leg.name} meets {', '.join(map(str, owners))}, and {look.owner} is not peered with all of them."
            yield _shown(look, owners[0], others[0][0], what, Fault.ISOLATION)
        for owner, (scope, link) in zip(owners, others, strict=True):
            led.add(owner)
            if owner in wanted:
                yield from _leg(look, leg, owner, scope, link, wanted[owner])
        yield from _strange_routes(look, leg, [wanted[one] for one in owners if one in wanted])
    for owner in sorted(wanted.keys() - led):
        there = next(iter(look.view.owned(f"{MARK}{owner}")), None)
        if there is not None and any(True for _ in _back(look, there)):
            yield _shown(look, owner, there, f"no leg leads to its peer {owner}.", Fault.REACH)
    sets = look.scope.tables[Family.INET].sets
    said = {(key[0], key[1]) for key, _ in sets[PEERS]} if PEERS in sets else set()
    meant = {(int(one.network_address), one.prefixlen) for one in wanted.values()}
    for first, length in sorted(said ^ meant, key=str):
        network = f"{IPv4Address(int(first))}/{length}"
        where = "is no peer's" if (first, length) in said else "is a peer's, and the rules do not know"
        fault = Fault.ISOLATION if (first, length) in said else Fault.REACH
        probe = _towards(look, IPv4Address(int(first) + 5))
        yield look.proof(look.some_ports(1), [probe] if probe else [], f"{network} {where}.", fault)


def _leg(
    look: Look, leg: Uplink, owner: ProjectKey, scope: Scope, link: Uplink, cidr: IPv4Network
) -> Iterator[Violation]:
    way = look.scope.way(int(cidr.network_address) + 5)
    mac = look.scope.neighbours.get((leg.name, way.gateway or 0)) if way else None
    if way is None or way.interface != leg.name or mac != link.mac:
        what = f"the way to its peer {owner} is {way}, to the MAC {mac}."
        yield _shown(look, owner, scope, what, Fault.REACH)


def _strange_routes(look: Look, leg: Uplink, cidrs: list[IPv4Network]) -> Iterator[Violation]:
    for route in look.scope.routes.values():
        if route.interface == leg.name and route.destination not in cidrs:
            probe = _towards(look, _first(route))
            what = f"the route to {route.destination} leads to a peer by {leg.name}."
            yield look.proof(look.some_ports(1), [probe] if probe else [], what, Fault.ISOLATION)


def memberships(look: Look, port: Port, address: IPv4Address) -> Iterator[str]:
    """What the peers get wrong about the groups of a port. They know the groups of the VPC's own project only."""
    own = [group for group in look.project.groups if "/" not in group]
    for owner, _ in peers_of(look.intent, look.owner):
        for scope in look.view.owned(f"{MARK}{owner}"):
            sets = scope.tables[Family.INET].sets
            for group in own:
                name = f"{MEMBERS}{look.owner}/{group}"
                is_member = name in sets and sets[name].get((int(address),)) is not None
                if is_member != (group in port.groups):
                    yield f"for its peer {owner} it is {'' if is_member else 'not '}a member of {group}."


def is_member(look: Look, group: str, address: int) -> bool:
    """Is the address that of a peer's attached port in `org/project/group`?"""
    org, project, name = group.split("/")
    owner = ProjectKey(org, project)
    if owner not in ranges(look):
        return False
    for scope in look.view.owned(f"{MARK}{owner}"):
        there = Look(look.view, scope, owner, look.intent[owner], look.intent)
        port = there.has(address)
        if port and name in port.groups:
            return True
    return False


def _back(look: Look, scope: Scope) -> Iterator[Uplink]:
    """Does the peer's side stand already? As long as neither does, nobody misses it."""
    for link in scope.links.values():
        if isinstance(link, Uplink) and not scope.addresses.get(link.name):
            others = (one for one, _ in look.view.on_segment(link) if one is not scope)
            if look.scope in others or not any(True for _ in others):
                yield link


def _shown(look: Look, owner: ProjectKey, scope: Scope, what: str, fault: Fault) -> Violation:
    """By a packet from a port here to a port there, or to any address there."""
    project = look.intent.get(owner)
    there = Look(look.view, scope, owner, project, look.intent).some_ports(1) if project else []
    address = address_of(there[0]) if there else None
    if address is None and project and project.vpc and isinstance(project.vpc.cidr, IPv4Network):
        address = project.vpc.cidr.network_address + 5
    probe = _towards(look, address or IPv4Address("192.0.2.99"))
    return look.proof(look.some_ports(1), [probe] if probe else [], what, fault)


def _towards(look: Look, address: IPv4Address) -> Probe | None:
    port = next(iter(look.some_ports(1)), None)
    return None if port is None else Probe(Inside(look.owner, port.id), address, TCP, _SOURCE_PORT, 80)


def _first(route: Route) -> IPv4Address:
    address = route.destination.network_address
    assert isinstance(address, IPv4Address)
    return address + (1 if route.destination.num_addresses > 1 else 0)
