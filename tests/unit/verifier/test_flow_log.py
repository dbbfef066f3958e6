"""Logging changes no verdict, and the verifier sees that for itself."""

from dataclasses import replace

import pytest

from weftwork.compiler.assembly import Delta
from weftwork.model.intent import Intent
from weftwork.model.vpc import FlowLog
from weftwork.program.linux import NftChain, NftElement
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults.run import PROFILES, compiled
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.tables import Table
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Fault

LOG = 'limit rate 100/second burst 100 packets log prefix "in denied_in" group 21 snaplen 96'


def logging(intent: Intent, flow_log: FlowLog) -> Intent:
    found = {owner: project.copy() for owner, project in intent.items()}
    for project in found.values():
        if project.vpc is not None:
            project.vpc = replace(project.vpc, flow_log=flow_log)
    return found


def chains(program: Program) -> dict[tuple[str, ...], NftChain]:
    return {one.key: one for one in program if isinstance(one, NftChain)}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("flow_log", [FlowLog(), FlowLog(10, allowed=True)], ids=["drops", "sampled, and what passes"])
def test_with_a_flow_log_the_verifier_reads_the_same_program(profile: str, flow_log: FlowLog) -> None:
    intent = draw_case(3).before
    plain = compiled(intent, PROFILES[profile]).program()
    logged = compiled(logging(intent, flow_log), PROFILES[profile]).program()
    assert plain - logged != frozenset()
    for key, chain in chains(plain).items():
        table, read = Table(chain.family), Table(chain.family)
        table.put(chain)
        read.put(chains(logged)[key])
        assert read.chains == table.chains
    assert not {key for key in chains(logged).keys() - chains(plain).keys() if not key[3].startswith("log.")}
    assert others(plain) == others(logged)


def others(program: Program) -> set[Resource]:
    """But for the policy's epoch, which is made of its chains: flows are judged again once."""
    epochs = ("epoch", "stamp")
    return {
        one
        for one in program
        if not isinstance(one, NftChain) and not (isinstance(one, NftElement) and one.set in epochs)
    }


def test_turning_it_on_and_off_raises_no_alarm() -> None:
    intent = draw_case(3).before
    plain = compiled(intent, PROFILES["bridge"]).program()
    with_logs = logging(intent, FlowLog(allowed=True))
    logged = compiled(with_logs, PROFILES["bridge"]).program()
    view = ProgramView(plain, gateway=make.EXTERNAL.gateway)
    assert judge(view, Delta(logged - plain, plain - logged), with_logs) == ()
    view = ProgramView(logged, gateway=make.EXTERNAL.gateway)
    assert judge(view, Delta(plain - logged, logged - plain), intent) == ()


@pytest.mark.parametrize(
    "rules",
    [(f"{LOG} accept",), (LOG, "accept"), ("meta mark set 1",), (f"meta mark set 1 {LOG}",), ("jump stamp",)],
    ids=["accepts", "accepts next", "marks", "marks and logs", "goes elsewhere"],
)
def test_a_chain_of_the_log_that_does_more_is_told(rules: tuple[str, ...]) -> None:
    intent = logging(draw_case(3).before, FlowLog())
    program = compiled(intent, PROFILES["bridge"]).program()
    chain = next(one for one in program if isinstance(one, NftChain) and one.name.startswith("log.in.denied_in"))
    odd = replace(chain, rules=rules)
    found = judge(
        ProgramView(program, gateway=make.EXTERNAL.gateway), Delta(frozenset({odd}), frozenset({chain})), intent
    )
    assert Fault.NOT_UNDERSTOOD in {one.fault for one in found}


def test_a_verdict_by_chance_is_told() -> None:
    intent = draw_case(3).before
    program = compiled(intent, PROFILES["bridge"]).program()
    chain = next(one for one in program if isinstance(one, NftChain) and one.name == "from_outside")
    odd = replace(chain, rules=("numgen random mod 10 0 accept", *chain.rules))
    found = judge(
        ProgramView(program, gateway=make.EXTERNAL.gateway), Delta(frozenset({odd}), frozenset({chain})), intent
    )
    assert found
