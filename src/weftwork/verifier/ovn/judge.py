"""The judge of a change of rows, before it is published: would tenants meet who should not, is what is meant there?

Its cost follows the change: it looks at the ports, groups and translations that the changed rows speak of, and at the
rules that every port meets only where those rules are part of the change.
"""

from collections.abc import Iterator

from weftwork.model.intent import Intent
from weftwork.program.ovn import LogicalSwitchPort
from weftwork.program.resource import Resource
from weftwork.verifier.at_home import at_home
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.expressions import NotUnderstood
from weftwork.verifier.ovn.foreign_check import check_foreign
from weftwork.verifier.ovn.guard_check import check_guard
from weftwork.verifier.ovn.look import FAR_AWAY, Look
from weftwork.verifier.ovn.plumbing_check import check_plumbing
from weftwork.verifier.ovn.port_check import check_port
from weftwork.verifier.ovn.rules_check import check_groups
from weftwork.verifier.ovn.touched import Touched, about, touched_by
from weftwork.verifier.ovn.view import RowsView
from weftwork.verifier.packet import TCP, Outside, Probe
from weftwork.verifier.violation import Change, Fault, Violation


def judge(rows: RowsView, change: Change, intent: Intent) -> tuple[Violation, ...]:
    """What would be wrong if `change` came over `rows`, which are left as they are; `intent` is what should be."""
    changed = [one for one in (*change.added, *change.removed) if _is_ours(one)]
    touched = touched_by(changed)
    found: list[Violation] = []
    intent = at_home(intent)
    try:
        with rows.changed(added=change.added, removed=change.removed):
            for scope in sorted(touched):
                found += _judge_scope(rows, scope, touched[scope], change, intent)
    except NotUnderstood as error:
        found.append(Violation(Fault.NOT_UNDERSTOOD, min(touched, default=""), f"{error}."))
    return tuple(found)


def _judge_scope(rows: RowsView, scope: str, touched: Touched, change: Change, intent: Intent) -> Iterator[Violation]:
    come = sorted((one for one in change.added if _is_ours(one) and about(one) == scope), key=lambda one: one.key)
    if scope == names.EXTERNAL:
        yield from _external(rows)
        return
    owner = rows.owner_of(scope, intent)
    if owner is None:
        if come:
            probe = Probe(Outside(FAR_AWAY), FAR_AWAY, TCP)
            yield Violation(Fault.ISOLATION, scope, f"it is no project's, and {' '.join(come[0].key)} comes.", probe)
        return
    look = Look(rows, scope, owner, intent[owner], intent)
    for row in come:
        yield from check_foreign(look, row)
    if touched.rules:
        yield from check_guard(look)
        touched.groups |= look.project.groups.keys()
    if touched.plumbing:
        yield from check_plumbing(look)
    yield from check_groups(look, touched.groups)
    for port in sorted(touched.ports - {""}):
        yield from check_port(look, port)


def _external(rows: RowsView) -> Iterator[Violation]:
    """The external network has one switch, which leads to the physical one."""
    if rows.gateway is None:
        return
    switch = rows.switches.get(names.EXTERNAL)
    others = [one for one in rows.ports_of[names.EXTERNAL].values() if one.type not in ("router", "localnet")]
    if switch is None or not rows.is_outside(names.EXTERNAL) or others:
        probe = Probe(Outside(FAR_AWAY), min(rows.networks).network_address, TCP) if rows.networks else None
        fault = Fault.ISOLATION if others else Fault.REACH
        yield Violation(fault, names.EXTERNAL, "the external network is not what it should be.", probe)


def _is_ours(row: Resource) -> bool:
    """What carries packets for guests; not the machine under an OVN of our own."""
    return type(row).__module__ in (LogicalSwitchPort.__module__, "weftwork.program.chassis")
