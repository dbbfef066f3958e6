"""Rows that speak of another VPC's: the plainest way in which tenants could meet."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.program.chassis import ChassisPort
from weftwork.program.flow_log import called_in
from weftwork.program.ovn import (
    Acl,
    LogicalRouterPort,
    LogicalSwitchPort,
    Nat,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
)
from weftwork.program.resource import Resource
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.look import FAR_AWAY, SOURCE_PORT, Look
from weftwork.verifier.ovn.rows import address_of
from weftwork.verifier.packet import TCP, Inside, Probe
from weftwork.verifier.violation import Fault, Violation

_ASKED_MAX = 4


def check_foreign(look: Look, row: Resource) -> Iterator[Violation]:
    """A row of a VPC may name rows of that VPC, and of its peers only the other end of a leg."""
    may = {look.scope}
    if row.scope == names.EXTERNAL:
        may.add(names.EXTERNAL)
    for scope in sorted(set(named(row)) - may):
        if isinstance(row, LogicalRouterPort) and scope == names.scope_of(row.peer) and scope in look.peers():
            continue
        what = f"{' '.join(row.key)} speaks of what is {scope}'s."
        yield look.proof(Fault.ISOLATION, what, _packets(look, row))
    if isinstance(row, LogicalSwitchPort) and row.type == "localnet":
        yield look.proof(Fault.ISOLATION, f"{row.name} leads out of the VPC's switch into a physical network.")


def _packets(look: Look, row: Resource) -> Iterator[Probe]:
    """Of a guest on another's switch: to whoever is there, and to anybody."""
    port = names.port_in(row.name) if isinstance(row, LogicalSwitchPort) and not row.type else ""
    if isinstance(row, LogicalSwitchPort) and port in look.project.ports:
        there = (address_of(one) for one in look.rows.ports_of[row.switch].values() if one is not row)
        addresses = [IPv4Address(one) for one in there if one is not None]
        for address in (*addresses[:_ASKED_MAX], FAR_AWAY):
            yield Probe(Inside(look.owner, port), address, TCP, SOURCE_PORT, 80)


def named(row: Resource) -> Iterator[str]:
    """The scopes of what a row is, and of what it names."""
    match row:
        case LogicalSwitchPort():
            yield from (names.scope_of(row.name), names.scope_of(row.switch))
            leg = dict(row.options).get("router-port", "")
            if leg:
                yield names.scope_of(leg)
        case LogicalRouterPort():
            yield from (names.scope_of(one) for one in (row.name, row.router, row.peer) if one)
        case StaticRoute():
            yield from (names.scope_of(one) for one in (row.router, row.output_port) if one)
        case RouterPolicy() | Nat():
            yield names.scope_of(row.router)
        case PortGroupMember():
            yield from (names.group_in(row.group)[0], names.scope_of(row.port))
        case ChassisPort():
            yield names.scope_of(row.iface_id)
        case Acl():
            kind, _, name = row.on.partition(" ")
            yield names.scope_of(name) if kind == "switch" else names.group_in(name)[0]
            if row.log:
                # Whose packets they are, in the log: who has the scope is told of them.
                called = called_in(row.log.name)
                yield called.scope if called else names.EXTERNAL
