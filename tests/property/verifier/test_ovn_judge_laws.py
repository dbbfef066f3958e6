"""The judge of rows of OVN: what is wrong is told with a packet, what is right with nothing."""

from dataclasses import replace

from weftwork.compiler.assembly import Delta
from weftwork.program.chassis import ChassisPort
from weftwork.program.ovn import (
    Acl,
    AclAction,
    LogicalRouterPort,
    LogicalSwitch,
    LogicalSwitchPort,
    PortGroup,
    PortGroupMember,
)
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults.on_ovn import compiled, false_alarms, nothing_yet
from weftwork.verifier.at_home import moved
from weftwork.verifier.ovn.judge import judge
from weftwork.verifier.ovn.model import OvnModel
from weftwork.verifier.ovn.view import RowsView
from weftwork.verifier.packet import Inside, Probe
from weftwork.verifier.violation import Fault, Violation

NOTHING: Program = frozenset()
SEED = 3


def test_what_is_right_raises_no_alarm() -> None:
    """More of it in tests/sim, with seeded faults."""
    assert list(false_alarms(12, first_seed=500)) == []


def standing() -> RowsView:
    return RowsView(
        compiled(draw_case(SEED).before).program(), gateway=make.EXTERNAL.gateway, networks=make.EXTERNAL.cidrs
    )


def judged(*, come: Resource | None = None, go: Resource | None = None) -> tuple[Violation, ...]:
    some = (frozenset({one} if one else ()) for one in (come, go))
    return judge(standing(), Delta(*some), draw_case(SEED).before)


def rows(scope: str) -> list[Resource]:
    program = compiled(draw_case(SEED).before).program()
    return sorted((one for one in program if one.scope == scope), key=lambda one: one.key)


def guest(scope: str) -> LogicalSwitchPort:
    return next(one for one in rows(scope) if isinstance(one, LogicalSwitchPort) and not one.type)


def faults(violations: tuple[Violation, ...]) -> set[Fault]:
    return {one.fault for one in violations}


def proofs(violations: tuple[Violation, ...]) -> list[Probe]:
    return [one.packet for one in violations if one.fault is Fault.ISOLATION and isinstance(one.packet, Probe)]


def test_a_guest_on_another_tenants_switch_is_told_with_a_packet_of_its_own() -> None:
    port = guest("weft-101")
    foreign = next(one for one in rows("weft-102") if isinstance(one, LogicalSwitch))

    violations = judged(come=replace(port, switch=foreign.name), go=port)

    (probe, *_) = proofs(violations)
    assert isinstance(probe.source, Inside) and port.name.endswith(probe.source.port)


def test_a_leg_between_routers_of_tenants_that_did_not_peer_is_told_with_a_packet() -> None:
    leg = next(one for one in rows("weft-101") if isinstance(one, LogicalRouterPort))
    strange = replace(leg, name="weft-101.peer.102", networks=("10.0.0.0/32",), peer="weft-102.peer.101")

    assert proofs(judged(come=strange))


def test_a_member_of_another_tenants_group_is_told() -> None:
    group = next(one for one in rows("weft-102") if isinstance(one, PortGroup) and "group" in one.name)

    assert proofs(judged(come=PortGroupMember("weft-101", group.name, guest("weft-101").name)))


def test_a_device_that_is_plugged_in_for_another_tenants_port_is_told() -> None:
    plug = next(one for one in rows("weft-101") if isinstance(one, ChassisPort))

    assert Fault.ISOLATION in faults(judged(come=replace(plug, iface_id=guest("weft-102").name), go=plug))


def test_without_the_rule_that_drops_the_rest_a_vpc_is_open() -> None:
    rule = next(one for one in rows("weft-101") if isinstance(one, Acl) and one.priority == 0)

    assert judged(go=rule)


def ways_group(scope: str) -> PortGroupMember:
    return next(one for one in rows(scope) if isinstance(one, PortGroupMember) and ".way." in one.port)


def test_a_subnet_where_the_guard_is_not_in_force_is_told() -> None:
    assert judged(go=ways_group("weft-101"))


def test_a_guest_that_is_taken_for_the_router_is_told() -> None:
    assert judged(come=replace(ways_group("weft-101"), port=guest("weft-101").name))


def test_a_router_that_is_taken_for_a_guest_is_told() -> None:
    ways = ways_group("weft-101").group
    for rule in rows("weft-101"):
        if isinstance(rule, Acl) and rule.match in (f"inport == @{ways}", f"outport == @{ways}"):
            assert judged(go=rule), rule


def test_rules_of_a_switches_own_are_told() -> None:
    rule = next(one for one in rows("weft-101") if isinstance(one, Acl))
    switch = next(one for one in rows("weft-101") if isinstance(one, LogicalSwitch))

    assert judged(come=replace(rule, on=f"switch {switch.name}"))


def test_a_rule_that_knows_one_port_more_is_told_though_no_guest_could_use_it() -> None:
    ruled = (one for scope in ("weft-101", "weft-102") for one in rows(scope) if isinstance(one, Acl))
    rule = next(one for one in ruled if "tcp.dst == " in one.match and one.action is AclAction.ALLOW_RELATED)
    port = int(rule.match.rpartition(" ")[2])

    violations = judged(come=replace(rule, match=rule.match.replace(str(port), str(port + 1))), go=rule)

    assert any(isinstance(one.packet, Probe) and one.packet.destination_port in (port, port + 1) for one in violations)


def test_what_the_verifier_does_not_understand_is_told() -> None:
    rule = next(one for one in rows("weft-101") if isinstance(one, Acl))

    assert faults(judged(come=replace(rule, match="ip.dscp == 3"), go=rule)) == {Fault.NOT_UNDERSTOOD}


def test_where_no_device_is_ours_none_is_missed() -> None:
    intent = draw_case(SEED).before
    some = frozenset(one for one in compiled(intent).program() if not isinstance(one, ChassisPort))

    def rows(*, has_chassis: bool) -> RowsView:
        return RowsView(gateway=make.EXTERNAL.gateway, networks=make.EXTERNAL.cidrs, has_chassis=has_chassis)

    assert judge(rows(has_chassis=True), Delta(some, NOTHING), intent)
    assert not judge(rows(has_chassis=False), Delta(some, NOTHING), intent)


def test_what_belongs_to_no_project_is_told() -> None:
    assert faults(judged(come=LogicalSwitch("weft-999", "weft-999.subnet.web"))) == {Fault.ISOLATION}


def test_a_judged_change_leaves_the_rows_as_they_were() -> None:
    case = draw_case(SEED)
    program, view = compiled(case.before).program(), standing()
    acls = [one for one in program if isinstance(one, Acl)]

    assert judge(view, Delta(NOTHING, frozenset(acls)), case.before)
    assert judge(view, Delta(frozenset({replace(acls[0], match="xyzzy")}), frozenset({acls[0]})), case.before)

    owners = {own.vpc.netns: owner for owner, own in case.before.items() if own.vpc}
    changed, anew = OvnModel(view, owners), OvnModel(program, owners)
    for shot in case.shots:
        probe = moved(case.before, shot.probe)
        assert changed.verdict(probe) == anew.verdict(probe)


def test_the_same_rows_are_the_same_whatever_came_and_went_before() -> None:
    """The index after a change of intent is that of rows from nothing."""
    for seed in range(12):
        case = draw_case(seed)
        after = case.after or {}
        before, later = compiled(case.before).program(), compiled(after).program()
        view = nothing_yet()
        view.apply(added=before)
        view.apply(added=later - before, removed=before - later)
        owners = {own.vpc.netns: owner for owner, own in after.items() if own.vpc}
        changed, anew = OvnModel(view, owners), OvnModel(later, owners)
        for shot in case.later:
            probe = moved(after, shot.probe)
            assert changed.verdict(probe) == anew.verdict(probe), (seed, probe)
