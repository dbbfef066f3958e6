"""Over OVN, too, logging changes no verdict, and the verifier sees that for itself."""

from dataclasses import replace

import pytest

from weftwork.compiler.assembly import Assembly, Delta
from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent
from weftwork.model.vpc import FlowLog
from weftwork.program.flow_log import ACL_NAME_MAX, Called, Way, acl_name, called_in
from weftwork.program.ovn import Acl, AclAction, AclLog, Meter
from weftwork.program.resource import Program
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.verifier.ovn.judge import judge
from weftwork.verifier.ovn.view import RowsView
from weftwork.verifier.violation import Fault

PROFILE = OvnProfile(external=make.EXTERNAL, gateway_chassis=("local",), physical_network="external")
NEW, OLD = " && ct.new", " && !ct.new"


def logging(intent: Intent, flow_log: FlowLog) -> Intent:
    found = {owner: project.copy() for owner, project in intent.items()}
    for project in found.values():
        if project.vpc is not None:
            project.vpc = replace(project.vpc, flow_log=flow_log)
    return found


def compiled(intent: Intent) -> Program:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    return assembly.program()


def unlogged(program: Program) -> Program:
    """Without meters, and with each rule that is said of new and of old flows said once, if both are said."""
    acls = {replace(one, log=None) for one in program if isinstance(one, Acl)}
    merged = set(acls)
    for one in acls:
        whole = replace(one, match=one.match.removesuffix(OLD))
        if one.match.endswith(OLD) and replace(whole, match=whole.match + NEW) in acls:
            merged -= {one, replace(whole, match=whole.match + NEW)}
            merged.add(whole)
    return frozenset({one for one in program if not isinstance(one, Acl | Meter)} | merged)


@pytest.mark.parametrize("flow_log", [FlowLog(), FlowLog(10, allowed=True)], ids=["drops", "sampled, and what passes"])
def test_with_a_flow_log_the_rules_are_the_same(flow_log: FlowLog) -> None:
    intent = draw_case(3).before
    plain, logged = compiled(intent), compiled(logging(intent, flow_log))
    assert plain != logged and unlogged(logged) == plain
    told = [one for one in logged if isinstance(one, Acl) and one.log]
    assert {one.action for one in told} == (
        {*AclAction} & {AclAction.DROP, AclAction.ALLOW_RELATED} if flow_log.allowed else {AclAction.DROP}
    )
    rates = {one.name: one.per_second for one in logged if isinstance(one, Meter)}
    assert {rates[one.log.meter] for one in told if one.log} == {100 * flow_log.sample}


def test_turning_it_on_and_off_raises_no_alarm() -> None:
    intent = draw_case(3).before
    with_logs = logging(intent, FlowLog(allowed=True))
    plain, logged = compiled(intent), compiled(with_logs)
    there = {"gateway": make.EXTERNAL.gateway, "networks": make.EXTERNAL.cidrs}
    assert judge(RowsView(plain, **there), Delta(logged - plain, plain - logged), with_logs) == ()
    assert judge(RowsView(logged, **there), Delta(plain - logged, logged - plain), intent) == ()


def test_a_rule_that_tells_another_tenant_is_told() -> None:
    intent = logging(draw_case(3).before, FlowLog())
    program = compiled(intent)
    view = RowsView(program, gateway=make.EXTERNAL.gateway, networks=make.EXTERNAL.cidrs)
    acl = next(one for one in sorted(program, key=str) if isinstance(one, Acl) and one.log)
    assert acl.log is not None
    odd = replace(acl, log=AclLog("weft-4711/1 in denied_in", acl.log.meter))
    found = judge(view, Delta(frozenset({odd}), frozenset({acl})), intent)
    assert Fault.ISOLATION in {one.fault for one in found}


@pytest.mark.parametrize("policy", ["", "short", "x" * 63])
def test_a_name_says_whose_it_is_and_always_fits(policy: str) -> None:
    called = Called("weft-16777215", 65536, Way("out", "denied_by_policy", policy))
    name = acl_name(called)
    read = called_in(name)
    assert len(name) <= ACL_NAME_MAX and read is not None
    assert replace(read, way=called.way) == called and (read.way.policy == policy) is (len(policy) < 63)


@pytest.mark.parametrize("name", ["", "operator", "weft-1 in denied_in", "weft-1/0 in denied_in", "weft-1/1 up denied"])
def test_what_others_log_is_none_of_ours(name: str) -> None:
    assert called_in(name) is None
