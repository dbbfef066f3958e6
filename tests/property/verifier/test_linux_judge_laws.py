"""The judge of Linux programs: what is wrong is told with a packet, what is right with nothing."""

from dataclasses import replace

from weftwork.compiler.assembly import Delta
from weftwork.program.linux import Family, NftChain, PortLink
from weftwork.program.resource import Program
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults.run import PROFILES, compiled, false_alarms
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.model import LinuxModel
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Fault, Violation

NOTHING: Program = frozenset()


def test_what_is_right_raises_no_alarm() -> None:
    """More of it in tests/sim, with seeded faults."""
    assert list(false_alarms(12, first_seed=500)) == []


def judged(before: Program, delta: Delta, seed: int) -> tuple[Violation, ...]:
    return judge(ProgramView(before, gateway=make.EXTERNAL.gateway), delta, draw_case(seed).before)


def test_a_device_on_another_tenants_bridge_is_told_with_what_it_would_see() -> None:
    program = compiled(draw_case(3).before, PROFILES["bridge"]).program()
    link = next(one for one in program if isinstance(one, PortLink) and one.scope == "weft-101")
    foreign = replace(link, scope="weft-102", name="tap999999999999")

    violations = judged(program, Delta(frozenset({foreign}), NOTHING), 3)

    assert [one.fault for one in violations] == [Fault.ISOLATION]
    assert violations[0].packet is not None


def test_what_the_verifier_does_not_understand_is_not_published() -> None:
    program = compiled(draw_case(3).before, PROFILES["bridge"]).program()
    chain = next(one for one in program if isinstance(one, NftChain) and one.name == "judged")
    odd = replace(chain, rules=("ip dscp 3 accept", *chain.rules))

    violations = judged(program, Delta(frozenset({odd}), frozenset({chain})), 3)

    assert Fault.NOT_UNDERSTOOD in {one.fault for one in violations}


def test_a_judged_change_leaves_the_view_as_it_was() -> None:
    case = draw_case(3)
    program = compiled(case.before, PROFILES["bridge"]).program()
    view = ProgramView(program, gateway=make.EXTERNAL.gateway)
    chain = next(one for one in program if isinstance(one, NftChain) and one.family is Family.INET and one.hook)

    assert judge(view, Delta(NOTHING, frozenset({chain})), case.before)
    assert judge(view, Delta(frozenset({replace(chain, rules=("xyzzy",))}), frozenset({chain})), case.before)

    changed, anew = LinuxModel(view), LinuxModel(program)
    for shot in case.shots:
        assert changed.verdict(shot.probe) == anew.verdict(shot.probe)
