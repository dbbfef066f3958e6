"""What the model, OVN and ovn-trace say of a packet is the same, but for the differences that we name."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice

import pytest
from test_equivalence import CASES, CASES_TO_CHOOSE_FROM, CASES_UNTIL_FOUND, FIRST_SEED, TELLING_CASES

from weftwork.drivers.ovn.private import TOOLS
from weftwork.testing.equivalence.opinion import Foretold, Opinion, Tracked, Untold
from weftwork.testing.equivalence.ovn_plane import OvnPlane
from weftwork.testing.equivalence.run import run_cases
from weftwork.testing.equivalence.telling import telling
from weftwork.testing.patience import patient
from weftwork.verifier.model import OVN_IN_USER_SPACE, Model, Traits

OPINION_EVERY = 12
"""A case costs as much again with ovn-trace, so everyday it is asked in some only."""

pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="OVN is not installed")


@pytest.fixture(scope="module")
def plane() -> Iterator[OvnPlane]:
    with OvnPlane() as plane:
        plane.wire.patience_s = patient(plane.wire.patience_s)
        yield plane


def test_ovn_does_what_the_model_says(plane: OvnPlane) -> None:
    tally = run_cases(plane, range(FIRST_SEED, FIRST_SEED + CASES * 11 // 20), opinion_every=OPINION_EVERY)
    assert not tally.disagreement, tally.disagreement
    assert tally.intents >= CASES, "a case is an intent and what it changes into"
    assert tally.packets >= CASES * 20
    assert tally.packets * 0.2 < tally.delivered < tally.packets * 0.8, "both verdicts are common"
    assert tally.compared * OPINION_EVERY > tally.packets * 0.6, "ovn-trace was asked"


@pytest.mark.parametrize("trait", [one.name for one in fields(Traits)])
def test_what_is_said_to_differ_does(plane: OvnPlane, trait: str) -> None:
    plane.wire.patience_s, before = 0.2, plane.wire.patience_s
    plane.traits = replace(OVN_IN_USER_SPACE, **{trait: not getattr(OVN_IN_USER_SPACE, trait)})
    try:
        wrong = plane.traits
        able = telling(
            range(CASES_TO_CHOOSE_FROM), lambda one: Model(one, OVN_IN_USER_SPACE), lambda one: Model(one, wrong)
        )
        # How a datagram is cut is no matter of the model's: such cases are common.
        seeds = tuple(islice(able, TELLING_CASES)) or range(CASES_UNTIL_FOUND)
        # It is the model that is wrong here, and packets that show it: nobody else is asked.
        tally = run_cases(plane, seeds, make_small=False, opinion_every=sys.maxsize)
    finally:
        plane.traits, plane.wire.patience_s = OVN_IN_USER_SPACE, before
    assert tally.disagreement, f"not found in {tally.packets} packets"


@pytest.fixture
def hasty(plane: OvnPlane) -> Iterator[OvnPlane]:
    """Waits shortly for what does not come: a disagreement is expected."""
    plane.wire.patience_s, before = 0.2, plane.wire.patience_s
    yield plane
    plane.wire.patience_s = before


def test_when_the_switch_loses_a_packet_both_opinions_are_told(hasty: OvnPlane) -> None:
    bridge = f"unix:{hasty.ovn.folder}/br-int.mgmt"
    hasty.ovn.run("ovs-ofctl", "add-flow", bridge, "table=0,priority=60000,icmp,actions=drop")
    try:
        tally = run_cases(hasty, range(CASES_UNTIL_FOUND), packets=2)
    finally:
        hasty.ovn.run("ovs-ofctl", "--strict", "del-flows", bridge, "table=0,priority=60000,icmp")
    assert tally.smallest is not None and len(tally.smallest.shots) + len(tally.smallest.later) == 1
    assert "the data plane: nothing arrived" in tally.disagreement
    assert "the second opinion: at " in tally.disagreement


class Forgetful:
    """Takes every packet for the first of its flow."""

    def __init__(self, opinion: Opinion) -> None:
        self._opinion = opinion

    def of(self, interface: str, frame: bytes, tracked: Tracked) -> tuple[Foretold, ...] | Untold:
        return self._opinion.of(interface, frame, Tracked.NEW)


def test_ovn_trace_is_believed_no_more_than_the_model(hasty: OvnPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = hasty.opinion
    monkeypatch.setattr(hasty, "opinion", lambda: Forgetful(ask()))

    tally = run_cases(hasty, range(CASES_UNTIL_FOUND), make_small=False)

    assert "Disagreement(stage='an answer'" in tally.disagreement, f"not found in {tally.packets} packets"
