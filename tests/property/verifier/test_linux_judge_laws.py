"""The judge of Linux programs: what is wrong is told with a packet, what is right with nothing."""

from dataclasses import replace
from ipaddress import IPv4Network

from weftwork.compiler.assembly import Delta
from weftwork.model.intent import ProjectIntent
from weftwork.model.security_group import PortRange, Protocol, Rule
from weftwork.program.linux import Family, NftChain, PortLink
from weftwork.program.resource import Program
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults.run import PROFILES, compiled, false_alarms
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.model import LinuxModel
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.packet import Probe
from weftwork.verifier.violation import Fault, Violation

NOTHING: Program = frozenset()
SCTP = 132


def scope_of(own: ProjectIntent) -> str:
    assert own.vpc is not None
    return own.vpc.netns


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


def test_a_rule_that_speaks_of_ports_without_a_protocol_is_told_where_other_rules_open_all_else_but_sctp() -> None:
    intent = draw_case(3).before
    owner, own = next(iter(intent.items()))
    anywhere = IPv4Network("0.0.0.0/0")
    rules = (Rule(Protocol.ALL, PortRange(80, 80), anywhere), Rule(Protocol.ICMP, None, anywhere))
    own.groups["a"] = replace(own.groups["a"], egress=rules)
    program = compiled(intent, PROFILES["br_netfilter"]).program()
    chain = next(
        one for one in program if isinstance(one, NftChain) and one.scope == scope_of(own) and one.name == "out.a"
    )
    wide = replace(chain, rules=(*chain.rules, "ct reply proto-src 80 accept"))

    violations = judge(ProgramView(program), Delta(frozenset({wide}), frozenset({chain})), intent)

    told = {one.packet.protocol for one in violations if one.fault is Fault.REACH and isinstance(one.packet, Probe)}
    assert told == {SCTP}, owner


def test_a_reserved_port_that_is_counted_and_not_dropped_is_told() -> None:
    program = compiled(draw_case(3).before, PROFILES["br_netfilter"]).program()
    chain = next(one for one in program if isinstance(one, NftChain) and one.name == "leave")
    kind = 'counter name "reserved_port" '
    rules = tuple(one.replace(f"{kind}drop", f"{kind}accept") for one in chain.rules)

    violations = judged(program, Delta(frozenset({replace(chain, rules=rules)}), frozenset({chain})), 3)

    assert Fault.DEFENCE in {one.fault for one in violations}
