"""One port: does everything that the program says of it, and of its device, follow from the intent?"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from weftwork.model.port import AttachmentKind, Port
from weftwork.program.linux import Family, LinkKind, PortLink
from weftwork.verifier.linux import guard_battery
from weftwork.verifier.linux.elsewhere_check import check_guard_of, link_of
from weftwork.verifier.linux.group_battery import MEMBERS
from weftwork.verifier.linux.guard_battery import Guest
from weftwork.verifier.linux.look import Look, device_by, is_elsewhere
from weftwork.verifier.linux.model import short
from weftwork.verifier.linux.peering_check import memberships
from weftwork.verifier.linux.rules import Count, Decide
from weftwork.verifier.linux.rules import Rule as NftRule
from weftwork.verifier.linux.sets import NotUnderstood
from weftwork.verifier.linux.tables import Table
from weftwork.verifier.model import address_of
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Phase, Probe
from weftwork.verifier.violation import Fault, Violation

_KINDS = {AttachmentKind.TAP: LinkKind.TAP, AttachmentKind.NETNS: LinkKind.VETH}
_SOURCE_PORT = 40000
_PEERS = 1


def check_port(look: Look, device: str, groups: Iterable[str] = (), *, thorough: bool = True) -> Iterator[Violation]:
    """`groups` are those that a change mentions beside the port; the port's own are looked at anyhow.

    `thorough`: with packets, too.
    """
    port = look.attached(device)
    link = look.scope.port(device)
    if port is None:
        yield from _nobody(look, device, link)
        return
    address = address_of(port)
    if address is None:
        return
    away = is_elsewhere(port)
    wrong = [
        *(link_of(look, port, device) if away else _link(look, port, link)),
        *_address(look, port, address),
        *_policy(look, port, address, groups),
    ]
    wrong += [(Fault.REACH, what) for what in memberships(look, port, address)]
    if not wrong and not thorough:
        return
    peers = [one for one in look.some_ports(_PEERS + 1, but=device) if one.id != port.id][:_PEERS]
    probes = tuple(_probes(look, port, address, peers))
    everybody = (port, *peers)
    for fault, what in wrong:
        yield look.proof(everybody, probes, f"port {port.id}: {what}", fault)
    if wrong:
        return
    if away:
        yield from check_guard_of(look, port, address)
        yield from look.disagreements(everybody, probes, f"port {port.id} has another reach here than its intent.")
        return
    assert link is not None
    guest = _guest(look, link, address)
    for sent in guard_battery.wrong(look.scope, guest):
        what = f"the guard lets port {port.id} send, or stops or counts as it should not, {sent.words}."
        yield look.by_frame(Fault.GUARD, what, device, sent.words)
    yield from look.disagreements(everybody, probes, f"port {port.id} has another reach than its intent.")


def _nobody(look: Look, device: str, link: PortLink | None) -> Iterator[Violation]:
    """Of a device that is no attached port's, the program may say nothing."""
    if link is None:
        there = look.scope.remote(device)
        if there is not None:
            what = f"{device} leads to {there.host}, and no port of {look.owner} is there."
            yield look.by_frame(Fault.ISOLATION, what, device, "what is for its MAC goes there")
        return
    what = f"{device} is under {link.bridge} and no attached port of {look.owner}."
    probe = Probe(Inside(look.owner, short(device.removeprefix("tap"))), _gateway(look), ICMP)
    for found in look.disagreements((), (probe,), what, Fault.ISOLATION):
        yield found
        return
    yield look.by_frame(Fault.ISOLATION, what, device, "every ARP question of its link comes to it")


def _link(look: Look, port: Port, link: PortLink | None) -> Iterator[tuple[Fault, str]]:
    if link is None:
        yield Fault.REACH, "it has no device."
        return
    assert port.attachment is not None
    end = (_KINDS[port.attachment.kind], port.attachment.netns, port.attachment.interface)
    if (link.kind, link.peer_netns, link.peer_name) != end:
        yield Fault.ISOLATION, f"its cable ends at {link.peer_name or link.kind.value} in {link.peer_netns or 'a VMM'}."
    if link.mac != port.mac:
        yield Fault.REACH, f"its device has the MAC {link.mac}."
    vlan = look.scope.vlan_of(link)
    leg = None if vlan is None else look.scope.leg(link.bridge, vlan)
    if leg is None:
        yield Fault.REACH, f"its device is under {link.bridge}, VLAN {link.vlan}, where no router is."
        return
    subnet = look.project.subnets[port.subnet]
    if look.scope.addresses.get(leg.name) != {int(subnet.gateway): subnet.cidr.prefixlen}:
        yield Fault.ISOLATION, f"its device is on the link of {leg.name}, which is not subnet {subnet.name}'s."


def _address(look: Look, port: Port, address: IPv4Address) -> Iterator[tuple[Fault, str]]:
    """Who the guard, the neighbours and the leases say it is."""
    scope, number = look.scope, int(address)
    wanted = f'"{port.device}" . {port.mac}'
    sets = scope.tables[Family.BRIDGE].sets
    for name, element in (("guard_mac", wanted), ("guard", f"{wanted} . {address}")):
        if name in sets and sets[name].get(sets[name].key_of(element)) is None:
            yield Fault.REACH, f"the set {name} lacks it."
    device = device_by(port)
    said = scope.said_of(device)
    if set(said) - {number}:
        yield Fault.GUARD, f"the guard lets it be {', '.join(str(IPv4Address(one)) for one in said if one != number)}."
    said = scope.said_of_mac(port.mac)
    if set(said) - {number}:
        yield Fault.REACH, f"its MAC stands for {', '.join(str(IPv4Address(one)) for one in said if one != number)}."
    link = scope.member(device)
    vlan = scope.vlan_of(link) if link else None
    leg = scope.leg(link.bridge, vlan) if link and vlan is not None else None
    if leg and scope.neighbours.get((leg.name, number)) != port.mac:
        yield Fault.REACH, f"the router looks for {address} at {scope.neighbours.get((leg.name, number), 'nobody')}."


def _policy(look: Look, port: Port, address: IPv4Address, groups: Iterable[str]) -> Iterator[tuple[Fault, str]]:
    for table in look.judging:
        family = table.family.value
        if table.sets["same"].get((int(address), int(address))) is None:
            yield Fault.REACH, f"{family}: the set same lacks it."
        for map_, policy, direction in (("egress", "out_policy", "out"), ("ingress", "in_policy", "in")):
            said = _groups_of(table, map_, policy, direction, int(address))
            wanted = {group for group in port.groups if group in look.project.groups}
            if said is None:
                yield Fault.REACH, f"{family}: no chain judges it by {map_}."
            elif said != wanted:
                yield Fault.REACH, f"{family}: {map_} follows the groups {sorted(said)} instead of {sorted(wanted)}."
        for group in {*port.groups, *groups}:
            name = MEMBERS + group
            is_member = name in table.sets and table.sets[name].get((int(address),)) is not None
            if is_member != (group in port.groups):
                yield Fault.REACH, f"{family}: it is {'' if is_member else 'not '}a member of {group}."


def _groups_of(table: Table, map_: str, policy: str, direction: str, address: int) -> set[str] | None:
    """The groups whose chains judge the address; None if none does."""
    number = table.sets[map_].get((address,))
    found = None if number is None else table.sets[policy].get(number)
    if found is None or found[0] != "goto" or str(found[1]) not in table.chains:
        return None
    return groups_in(table.chains[str(found[1])].rules, direction)


def groups_in(rules: tuple[NftRule, ...], direction: str) -> set[str]:
    """The groups that a combination's chain jumps through, before it drops."""
    *jumps, last = rules or ((),)
    dropped = last[-1] if last and all(isinstance(step, Count) for step in last[:-1]) else None
    if not isinstance(dropped, Decide) or dropped.verdict.kind != "drop":
        raise NotUnderstood("the chain of a combination of groups that does not end with a drop")
    groups = set()
    for rule in jumps:
        step = rule[0] if len(rule) == 1 else None
        prefix = f"{direction}."
        if not isinstance(step, Decide) or step.verdict.kind != "jump" or not step.verdict.chain.startswith(prefix):
            raise NotUnderstood("the chain of a combination of groups that does more than jump to groups")
        groups.add(step.verdict.chain.removeprefix(prefix))
    return groups


def _guest(look: Look, link: PortLink, address: IPv4Address) -> Guest:
    leg = look.scope.leg(link.bridge, look.scope.vlan_of(link) or 0)
    assert leg is not None
    gateway = min(look.scope.addresses[leg.name])
    return Guest(link.name, link.mac, int(address), gateway, leg.mac)


def _gateway(look: Look) -> IPv4Address:
    gateways = [one.gateway for one in look.project.subnets.values() if isinstance(one.gateway, IPv4Address)]
    return min(gateways, default=IPv4Address("192.0.2.1"))


def _probes(look: Look, port: Port, address: IPv4Address, peers: list[Port]) -> Iterator[Probe]:
    """To its gateway, to and from others, and outside: a few packets of every kind. On another host, others only."""
    if is_elsewhere(port):
        yield from _between(look, port, address, peers)
        return
    me = Inside(look.owner, port.id)
    gateway = look.project.subnets[port.subnet].gateway
    assert isinstance(gateway, IPv4Address)
    for phase in (Phase.OPENING, Phase.REPLY, Phase.STRAY):
        yield Probe(me, gateway, ICMP, _SOURCE_PORT, 0, phase)
    yield Probe(me, gateway, TCP, _SOURCE_PORT, 22)
    for service in _services(look, port):
        for peer in peers:
            there = address_of(peer)
            if there is not None:
                yield Probe(me, there, *service)
                yield Probe(Inside(look.owner, peer.id), address, *service)
        yield Probe(me, IPv4Address("192.0.2.99"), *service)
    for peer in peers[:1]:
        there = address_of(peer)
        if there is not None:
            yield Probe(me, there, UDP, _SOURCE_PORT, 53, Phase.OPENING, gateway)
            yield Probe(me, there, UDP, _SOURCE_PORT, 53, Phase.STRAY)
            yield Probe(Inside(look.owner, peer.id), address, TCP, _SOURCE_PORT, 80, Phase.REPLY)
    yield Probe(Outside(IPv4Address("192.0.2.99")), address, TCP, _SOURCE_PORT, 80)


def _between(look: Look, port: Port, address: IPv4Address, peers: list[Port]) -> Iterator[Probe]:
    for peer in peers:
        there = address_of(peer)
        if there is None:
            continue
        for service in _services(look, port):
            yield Probe(Inside(look.owner, port.id), there, *service)
            yield Probe(Inside(look.owner, peer.id), address, *service)
        for phase in (Phase.REPLY, Phase.STRAY):
            yield Probe(Inside(look.owner, port.id), there, TCP, _SOURCE_PORT, 80, phase)
            yield Probe(Inside(look.owner, peer.id), address, TCP, _SOURCE_PORT, 80, phase)


def _services(look: Look, port: Port) -> list[tuple[int, int, int]]:
    """What some rules of its groups are about, and what hardly any is."""
    services = {(TCP, _SOURCE_PORT, 80), (253, 0, 0)}
    for name in port.groups[:3]:
        group = look.project.groups.get(name)
        for rule in (*group.ingress[:1], *group.egress[:1]) if group else ():
            number = rule.ports.min if rule.ports else 443
            services.add((UDP if rule.protocol.value == "udp" else TCP, _SOURCE_PORT, number))
    return sorted(services)[:3]
