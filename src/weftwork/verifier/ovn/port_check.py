"""One port: does everything that the rows say of it, and of its device, follow from the intent?"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.model.port import AttachmentKind, Port
from weftwork.program.linux import LinkKind
from weftwork.program.ovn import LogicalSwitchPort
from weftwork.verifier.model import address_of
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.look import FAR_AWAY, SOURCE_PORT, Look
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Phase, Probe
from weftwork.verifier.violation import Fault, Frame, Violation

_KINDS = {AttachmentKind.TAP: LinkKind.TAP, AttachmentKind.NETNS: LinkKind.VETH}
_ANYTHING = "whatever its guest sends"
_Wrong = Iterator[tuple[Fault, str]]


def check_port(look: Look, port_id: str) -> Iterator[Violation]:
    port = look.attached(port_id)
    if port is None:
        yield from _nobody(look, port_id)
        return
    address = address_of(port)
    assert address is not None
    for fault, what in _plugs(look, port):
        yield Violation(fault, look.scope, f"port {port.id}: {what}", Frame(look.scope, port.device, _ANYTHING))
    wrong = [*_row(look, port, address), *_memberships(look, port)]
    peers = look.some_ports(1, but=port.id)
    probes = tuple(_probes(look, port, address, peers))
    for fault, what in wrong:
        yield look.proof(fault, f"port {port.id}: {what}", probes, (port, *peers))
    if not wrong:
        yield from look.disagreements((port, *peers), probes, f"port {port.id} has another reach than its intent.")


def _nobody(look: Look, port_id: str) -> Iterator[Violation]:
    """Of what is no attached port, the rows may say nothing."""
    name = names.port_called(look.scope, port_id)
    row = look.rows.switch_ports.get(name)
    if row is not None:
        what = f"{name} stands on {row.switch} and is no attached port of {look.owner}."
        probe = Probe(Inside(look.owner, port_id), min(look.gateways(), default=FAR_AWAY), ICMP)
        yield look.proof(Fault.ISOLATION, what, [probe])
    for plug in look.rows.plugs.get(name, ()):
        what = f"{plug.name} is plugged in for {name}, which is no attached port of {look.owner}."
        yield Violation(Fault.ISOLATION, look.scope, what, Frame(look.scope, plug.name, _ANYTHING))
    for group in sorted(look.rows.acls.groups_of.get(name, ())):
        yield look.proof(look.opening(Fault.REACH), f"{name} is a member of {group}, and no attached port.")


def _plugs(look: Look, port: Port) -> _Wrong:
    assert port.attachment is not None
    kind, end = _KINDS[port.attachment.kind], (port.attachment.netns, port.attachment.interface)
    plugs = look.rows.plugs.get(names.port_called(look.scope, port.id), set())
    if not plugs and look.rows.has_chassis:
        yield Fault.REACH, "no device is plugged in for it."
    for plug in sorted(plugs, key=lambda one: one.name):
        wanted = (port.device, kind, port.mac, *end)
        if (plug.name, plug.kind, plug.mac, plug.peer_netns, plug.peer_name) != wanted:
            yield Fault.ISOLATION, f"{plug.name} is plugged in for it, and is not its device."


def _row(look: Look, port: Port, address: IPv4Address) -> _Wrong:
    row = look.row(port.id)
    if row is None:
        yield Fault.REACH, "no switch has it."
        return
    own = f"{port.mac} {address}"
    if row.type:
        yield Fault.REACH, f"it is a {row.type}, not a guest's."
    if row.addresses != (own,):
        yield Fault.REACH, f"its switch knows it as {', '.join(row.addresses) or 'nobody'}."
    if row.port_security != (own,):
        yield look.opening(Fault.GUARD), f"port security lets it be {', '.join(row.port_security) or 'anybody'}."
    yield from _place(look, port, row)
    twins = [one.name for one in look.rows.guests_with(int(address)) if one.scope == look.scope and one != row]
    if twins:
        yield Fault.REACH, f"{', '.join(twins)} has its address, too."


def _place(look: Look, port: Port, row: LogicalSwitchPort) -> _Wrong:
    subnet = look.project.subnets[port.subnet]
    way = look.rows.way_on(row.switch)
    leg = look.rows.leg(way) if way else None
    if leg is None:
        yield Fault.REACH, f"it is on {row.switch}, where no router is."
    elif leg.networks != (f"{subnet.gateway}/{subnet.cidr.prefixlen}",):
        yield Fault.ISOLATION, f"it is on {row.switch}, which is not subnet {subnet.name}'s."
    dhcp = look.rows.dhcp.get(row.dhcp)
    if subnet.dhcp_enabled != (dhcp is not None and dhcp.cidr == subnet.cidr and dhcp.scope == look.scope):
        yield Fault.REACH, f"DHCP tells it what {row.dhcp or 'nothing'} says."


def _memberships(look: Look, port: Port) -> _Wrong:
    said = look.rows.acls.groups_of.get(names.port_called(look.scope, port.id), set())
    wanted = {names.group_called(look.scope, one) for one in port.groups}
    if said != wanted:
        groups = ", ".join(sorted(said)) or "no group"
        fault = look.opening(Fault.REACH) if said - wanted else Fault.REACH
        yield fault, f"it is a member of {groups} instead of {', '.join(sorted(wanted))}."
    for group in sorted(wanted - look.rows.port_groups):
        yield Fault.REACH, f"the port group {group} is not there."


def _probes(look: Look, port: Port, address: IPv4Address, peers: list[Port]) -> Iterator[Probe]:
    """To its gateway, to and from others, and outside: a few packets of every kind."""
    me = Inside(look.owner, port.id)
    gateway = look.project.subnets[port.subnet].gateway
    assert isinstance(gateway, IPv4Address)
    for phase in (Phase.OPENING, Phase.REPLY, Phase.STRAY):
        yield Probe(me, gateway, ICMP, SOURCE_PORT, 0, phase)
    yield Probe(me, gateway, TCP, SOURCE_PORT, 22)
    others = [(one, there) for one in peers if (there := address_of(one)) is not None]
    for service in _services(look, port):
        for peer, there in others:
            yield Probe(me, there, *service)
            yield Probe(Inside(look.owner, peer.id), address, *service)
        yield Probe(me, FAR_AWAY, *service)
    for peer, there in others:
        yield Probe(me, there, UDP, SOURCE_PORT, 53, Phase.OPENING, gateway)
        yield Probe(Inside(look.owner, peer.id), address, TCP, SOURCE_PORT, 80, Phase.REPLY)


def _services(look: Look, port: Port) -> list[tuple[int, int, int]]:
    """What some rules of its groups are about, and what hardly any is."""
    services = {(TCP, SOURCE_PORT, 80), (253, 0, 0)}
    for name in port.groups[:3]:
        group = look.project.groups.get(name)
        for rule in (*group.ingress[:1], *group.egress[:1]) if group else ():
            number = rule.ports.min if rule.ports else 443
            services.add((UDP if rule.protocol.value == "udp" else TCP, SOURCE_PORT, max(number, 1)))
    return sorted(services)[:3]
