"""What the rows of a northbound say and what intents say is the same, whatever packet is asked for."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent
from weftwork.program.ovn import Acl, AclAction, AclDirection
from weftwork.program.resource import Program
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.equivalence.shots import Shot
from weftwork.verifier.at_home import at_home, moved
from weftwork.verifier.model import OVN_IN_USER_SPACE, Model
from weftwork.verifier.ovn.expressions import NotUnderstood, parse
from weftwork.verifier.ovn.model import OvnModel
from weftwork.verifier.packet import Phase, Probe

PROFILE = OvnProfile(external=make.EXTERNAL, gateway_chassis=("chassis",))
CASES = 60


def compiled(intent: Intent) -> Program:
    return frozenset(one for slice_id in slices_of(intent) for one in compile_slice(intent, slice_id, PROFILE))


def model_of(program: Program, intent: Intent) -> OvnModel:
    return OvnModel(program, {own.vpc.netns: owner for owner, own in intent.items() if own.vpc})


def questions(intent: Intent, shots: list[Shot]) -> Iterator[Probe]:
    """Each packet, and what could come back. An external address that is claimed and not used is nobody's promise."""
    unused = {own.snat.external_ip for own in intent.values() if own.snat and not own.snat.enabled}
    used = {one.external_ip for own in intent.values() for one in own.dnats.values()}
    for shot in shots:
        if shot.probe.destination not in unused - used:
            yield from (replace(shot.probe, phase=phase) for phase in {shot.probe.phase, Phase.REPLY, Phase.ERROR})


def test_rows_deliver_what_their_intent_says_and_nothing_else() -> None:
    delivered = asked = 0
    for seed in range(CASES):
        case = draw_case(seed)
        for intent, shots in ((case.before, case.shots), (case.after or {}, case.later)):
            model, rows = Model(at_home(intent), OVN_IN_USER_SPACE), model_of(compiled(intent), intent)
            for probe in (moved(intent, one) for one in questions(intent, shots)):
                intended, programmed = model.verdict(probe), rows.verdict(probe)
                same = (intended.receiver, intended.seen) == (programmed.receiver, programmed.seen)
                assert same, (seed, probe, intended, programmed)
                delivered += intended.delivered
                asked += 1
    assert delivered > asked / 10, "most packets went nowhere: the law says little"


def test_without_the_last_rule_the_rows_let_everything_pass() -> None:
    """The model's own witness: what it says hangs on the rows."""
    case = draw_case(1)
    program = compiled(case.before)
    open_ = frozenset(one for one in program if not (isinstance(one, Acl) and one.action is AclAction.DROP))
    closed, wide = model_of(program, case.before), model_of(open_, case.before)
    probes = [moved(case.before, one.probe) for one in case.shots]
    assert sum(wide.verdict(one).delivered for one in probes) > sum(closed.verdict(one).delivered for one in probes)


@pytest.mark.parametrize(
    "text",
    ["ip6.src == fd00::1", "ip4.src == 10.0.0.1 &&", "tcp.dst < 80", "inport != @some", "ct.est", "tcp.flags != 4/4"],
)
def test_a_match_that_is_not_understood_is_refused_and_never_guessed(text: str) -> None:
    acl = Acl("weft-101", "switch x", AclDirection.TO_PORT, 1, text, AclAction.DROP)
    with pytest.raises(NotUnderstood):
        OvnModel([acl], {})
    with pytest.raises(NotUnderstood):
        parse(text)
