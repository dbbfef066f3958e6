"""Switches, routers, routes and translations of a VPC: they are so plain that each is either right or wrong."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Address, Cidr
from weftwork.model.subnet import Subnet
from weftwork.program.ovn import LogicalRouter, LogicalRouterPort, LogicalSwitch, LogicalSwitchPort
from weftwork.verifier.model import NUMBERS, dnats_of, snat_of
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.expressions import parse
from weftwork.verifier.ovn.guard_check import check_from_outside
from weftwork.verifier.ovn.look import FAR_AWAY, SOURCE_PORT, Look
from weftwork.verifier.ovn.packet import ICMP, TCP, UNREACHABLE, Packet
from weftwork.verifier.packet import Inside, Outside, Probe
from weftwork.verifier.violation import Fault, Violation

_DISCARD = "discard"


def check_plumbing(look: Look) -> Iterator[Violation]:
    routers = look.rows.routers_of(look.scope)
    if look.cidr is None:
        return
    if len(routers) != 1:
        yield look.proof(Fault.REACH, f"it has {len(routers)} routers.")
        return
    (router,) = routers
    if router.load_balancer_group and (look.scope, router.load_balancer_group) not in look.rows.balancer_groups:
        yield look.proof(Fault.REACH, f"the group of load balancers {router.load_balancer_group} is not there.")
    legs = {leg.networks: leg for leg in look.rows.legs_of(router.name) if not leg.peer and not leg.gateway_chassis}
    ways = {way.name for leg in legs.values() if (way := look.rows.switch_port(leg))}
    for subnet in look.project.subnets.values():
        if isinstance(subnet.gateway, IPv4Address):
            yield from _subnet(look, router, subnet, legs.pop((f"{subnet.gateway}/{subnet.cidr.prefixlen}",), None))
    yield from _strange_ways(look, ways)
    for strange in legs.values():
        yield look.proof(Fault.REACH, f"{strange.name} with {strange.networks} is no subnet's.")
    yield from _outside(look, router)
    yield from _peers(look, router)
    yield from _routes(look, router)
    yield from _translations(look, router)
    yield from _router_policies(look, router)


def _subnet(look: Look, router: LogicalRouter, subnet: Subnet, leg: LogicalRouterPort | None) -> Iterator[Violation]:
    way = look.rows.switch_port(leg) if leg else None
    switch = look.rows.switches.get(way.switch) if way else None
    if leg is None or way is None or switch is None:
        yield look.proof(Fault.REACH, f"subnet {subnet.name} has no switch with a leg of the router.")
        return
    others = [one.name for one in look.rows.ports_of[switch.name].values() if one.type == "router" and one is not way]
    if others or way.type != "router":
        yield look.proof(Fault.ISOLATION, f"subnet {subnet.name}: {', '.join(others) or way.type} is on its switch.")
    yield from _guarded(look, subnet, switch, way)
    if switch.load_balancer_group != router.load_balancer_group:
        yield look.proof(Fault.REACH, f"subnet {subnet.name}: its port forwards are {switch.load_balancer_group!r}.")
    if subnet.dhcp_enabled:
        yield from _dhcp(look, subnet, switch.name)


def _guarded(look: Look, subnet: Subnet, switch: LogicalSwitch, way: LogicalSwitchPort) -> Iterator[Violation]:
    """The rules of all switches are in force there, and no others; and only the way is taken for the router."""
    if look.rows.acls.groups_of.get(way.name) != {look.everywhere}:
        yield look.proof(look.opening(Fault.DEFENCE), f"subnet {subnet.name} is not guarded.")
    if look.rows.acls.on(f"switch {switch.name}"):
        yield look.proof(look.opening(Fault.REACH), f"subnet {subnet.name}: its switch has rules of its own.")


def _strange_ways(look: Look, ways: set[str]) -> Iterator[Violation]:
    for member in sorted(look.rows.acls.members.get(look.everywhere, set()) - ways):
        what = f"{member} is taken for a way to the router, and judged by no rule."
        yield look.proof(look.opening(Fault.DEFENCE), what)


def _dhcp(look: Look, subnet: Subnet, switch: str) -> Iterator[Violation]:
    said = look.rows.dhcp.get(switch)
    if said is None or said.cidr != subnet.cidr:
        yield look.proof(Fault.REACH, f"subnet {subnet.name} has no DHCP for its range.")
        return
    wanted = {"router": str(subnet.gateway), "server_id": str(subnet.gateway), "lease_time": str(subnet.lease_time_s)}
    told = dict(said.options)
    wrong = [name for name, value in wanted.items() if told.get(name) != value]
    if wrong:
        yield look.proof(Fault.REACH, f"subnet {subnet.name}: DHCP says otherwise what is its {', '.join(wrong)}.")


def _outside(look: Look, router: LogicalRouter) -> Iterator[Violation]:
    """The leg in the external network has one of the owner's addresses there, and no other."""
    legs = [leg for leg in look.rows.legs_of(router.name) if leg.gateway_chassis]
    addresses = look.external()
    if len(legs) != (1 if addresses else 0):
        yield look.proof(Fault.REACH, f"{len(legs)} legs lead outside.")
    for leg in legs:
        held = {IPv4Address(one.partition("/")[0]) for one in leg.networks}
        if not held <= set(addresses):
            yield _taken(look, f"{leg.name} has {', '.join(leg.networks)}", min(held - set(addresses)))
        elif not held:
            yield look.proof(Fault.REACH, f"{leg.name} has no address.")
        way = look.rows.switch_port(leg)
        if way is None or not look.rows.is_outside(way.switch) or way.type != "router":
            yield look.proof(Fault.REACH, f"{leg.name} leads to no physical network.")
        else:
            yield from check_from_outside(look, way)


def _taken(look: Look, what: str, address: IPv4Address) -> Violation:
    """By whoever calls the address and comes to somebody else."""
    return look.proof(Fault.ISOLATION, f"{what}, which is not the owner's.", [Probe(Outside(FAR_AWAY), address, TCP)])


def _peers(look: Look, router: LogicalRouter) -> Iterator[Violation]:
    """A leg leads to each peer of which both sides stand, and to nobody else."""
    cidrs, legs = look.peer_cidrs(), [leg for leg in look.rows.legs_of(router.name) if leg.peer]
    led = {names.scope_of(leg.peer): leg for leg in legs}
    own = look.cidr
    assert own is not None
    for leg in legs:
        scope = names.scope_of(leg.peer)
        if scope not in cidrs or led[scope] is not leg:
            probe = look.some_probe(next((one + 5 for one in _ranges_at(look, leg)), FAR_AWAY))
            what = f"{leg.name} leads to {scope}, and {look.owner} is not peered with it."
            yield look.proof(Fault.ISOLATION, what, [probe])
            continue
        there = look.rows.router_ports.get(leg.peer)
        if there is None or there.peer != leg.name:
            # The other side's change may be on its way; as long as one end misses the other, nothing passes.
            continue
        if leg.networks != (f"{own.network_address}/32",) or there.networks != (f"{cidrs[scope].network_address}/32",):
            yield look.proof(Fault.REACH, f"{leg.name} has {leg.networks}, and the other end {there.networks}.")
    for scope in sorted(cidrs.keys() - led.keys()):
        if any(leg.peer and names.scope_of(leg.peer) == look.scope for leg in _legs_in(look, scope)):
            yield look.proof(Fault.REACH, f"no leg leads to its peer {look.peers()[scope]}.")


def _legs_in(look: Look, scope: str) -> Iterator[LogicalRouterPort]:
    for router in look.rows.routers_of(scope):
        yield from look.rows.legs_of(router.name)


def _ranges_at(look: Look, leg: LogicalRouterPort) -> Iterator[IPv4Address]:
    for route in look.rows.statics.get(leg.router, ()):
        if route.output_port == leg.name and isinstance(route.prefix, IPv4Network):
            yield route.prefix.network_address


def _routes(look: Look, router: LogicalRouter) -> Iterator[Violation]:
    said = {(one.prefix, one.next_hop, one.output_port) for one in look.rows.statics.get(router.name, ())}
    wanted = set(_wanted_routes(look, router))
    for prefix, hop, port in sorted(said - wanted, key=str):
        leg = look.rows.router_ports.get(port)
        fault = Fault.ISOLATION if leg is not None and leg.peer else Fault.REACH
        assert isinstance(prefix, IPv4Network)
        probe = look.some_probe(prefix.network_address + (1 if prefix.num_addresses > 1 else 0))
        yield look.proof(fault, f"what is for {prefix} goes to {hop} by {port or 'nothing'}.", [probe])
    for prefix, hop, _ in sorted(wanted - said, key=str):
        yield look.proof(Fault.REACH, f"nothing says that what is for {prefix} goes to {hop}.")


def _wanted_routes(look: Look, router: LogicalRouter) -> Iterator[tuple[IPv4Network, str, str]]:
    assert look.cidr is not None
    yield look.cidr, _DISCARD, ""
    cidrs = look.peer_cidrs()
    for leg in look.rows.legs_of(router.name):
        scope = names.scope_of(leg.peer)
        if leg.peer and scope in cidrs:
            yield cidrs[scope], str(cidrs[scope].network_address), leg.name
        elif leg.gateway_chassis and look.rows.gateway:
            yield IPv4Network("0.0.0.0/0"), str(look.rows.gateway), leg.name
            own = [IPv4Address(one.partition("/")[0]) for one in leg.networks]
            for network in look.rows.networks:
                if not any(one in network for one in own):
                    yield network, str(look.rows.gateway), leg.name


def _translations(look: Look, router: LogicalRouter) -> Iterator[Violation]:
    snat = snat_of(look.project) if look.rows.gateway else None
    said = {(one.external, one.logical) for one in look.rows.nats.get(router.name, ())}
    wanted: set[tuple[Address, Cidr]] = {(snat, look.cidr)} if snat and look.cidr else set()
    for address, cidr in sorted(said - wanted, key=str):
        assert isinstance(address, IPv4Address)
        if address in look.external():
            yield look.proof(look.opening(Fault.REACH), f"{cidr} is hidden behind {address}.", [look.some_probe()])
        else:
            yield _taken(look, f"{cidr} is hidden behind {address}", address)
    for address, cidr in sorted(wanted - said, key=str):
        # What leaves as it is, others may take for one of their own.
        yield look.proof(Fault.ISOLATION, f"{cidr} is not hidden behind {address}.", [look.some_probe()])
    yield from _forwards(look, router)


def _forwards(look: Look, router: LogicalRouter) -> Iterator[Violation]:
    mine = {group: some for group, some in look.rows.balancers.items() if group[0] == look.scope and some}
    said = {
        (one.protocol, outer, inner, group == router.load_balancer_group)
        for (_, group), some in mine.items()
        for one in some
        for outer, inner in one.vips
    }
    wanted = set()
    for dnat in dnats_of(look.project):
        outer, inner = f"{dnat.external_ip}:{dnat.external_port}", f"{dnat.internal_ip}:{dnat.internal_port}"
        if look.rows.gateway:
            wanted.add((dnat.protocol.value, outer, inner, True))
    numbers = {one.value: number for one, number in NUMBERS.items()}
    own = set(look.external())
    for protocol, outer, inner, _ in sorted(said ^ wanted):
        address, _, port = outer.partition(":")
        probe = Probe(Outside(FAR_AWAY), IPv4Address(address), numbers[protocol], SOURCE_PORT, int(port))
        is_said = any(one[:3] == (protocol, outer, inner) for one in said)
        what = f"{protocol} {outer} {'leads' if is_said else 'does not lead'} to {inner}."
        yield look.proof(Fault.ISOLATION if is_said or IPv4Address(address) not in own else Fault.REACH, what, [probe])


def _router_policies(look: Look, router: LogicalRouter) -> Iterator[Violation]:
    """What comes by a peer's leg is from the peer and for here; errors do not leave in the words of the inside."""
    rules = sorted(look.rows.policies.get(router.name, ()), key=lambda one: (-one.priority, one.match))
    assert look.cidr is not None
    own, cidrs = int(look.cidr.network_address) + 5, look.peer_cidrs()
    asked: list[tuple[str, Packet, bool]] = []
    for leg in look.rows.legs_of(router.name):
        cidr = cidrs.get(names.scope_of(leg.peer)) if leg.peer else None
        if cidr is not None:
            some = Packet(int(cidr.network_address) + 5, own, TCP, SOURCE_PORT, 80, inport=leg.name)
            who = look.peers()[names.scope_of(leg.peer)]
            asked.append((f"what its peer {who} sends", some, True))
            asked += [
                (f"what comes from {who} for elsewhere", replace(some, destination=int(FAR_AWAY)), False),
                (f"what comes from {who} with another's address", replace(some, source=int(FAR_AWAY)), False),
            ]
            for edge in (int(cidr.network_address) - 1, int(cidr.broadcast_address) + 1):
                asked.append((f"what comes from {who} beside its range", replace(some, source=edge), False))
            for edge in (int(look.cidr.network_address) - 1, int(look.cidr.broadcast_address) + 1):
                asked.append((f"what comes from {who} beside the range", replace(some, destination=edge), False))
    if look.external():
        out = Packet(own, int(FAR_AWAY), TCP, SOURCE_PORT, 80)
        asked.append(("what leaves", out, True))
        for kind in (UNREACHABLE, 4, 5, 11, 12):
            error = replace(out, protocol=ICMP, source_port=0, destination_port=0, icmp_type=kind)
            asked.append((f"ICMP errors of type {kind} that leave", error, False))
            asked += [
                (
                    f"ICMP errors of type {kind} for a peer",
                    replace(error, destination=int(cidr.network_address) + 5),
                    True,
                )
                for cidr in cidrs.values()
            ]
    for words, packet, passes in asked:
        first = next((one for one in rules if parse(one.match)(packet, look.rows)), None)
        if (first is None or first.action != "drop") != passes:
            probe = look.some_probe(IPv4Address(packet.destination))
            source = next(
                (Inside(owner, "guest") for one, owner in look.peers().items() if f".{one}" in packet.inport), None
            )
            probe = replace(probe, source=source) if source else probe
            fault = Fault.REACH if passes else Fault.ISOLATION
            yield look.proof(fault, f"the router {'drops' if passes else 'lets pass'} {words}.", [probe])
