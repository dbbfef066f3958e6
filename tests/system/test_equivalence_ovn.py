"""What the model says and what OVN does is the same, packet by packet, but for the differences that we name."""

import shutil
from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
from test_equivalence import CASES, CASES_UNTIL_FOUND, FIRST_SEED

from weftwork.drivers.ovn.private import TOOLS
from weftwork.testing.equivalence.ovn_plane import OvnPlane
from weftwork.testing.equivalence.run import run_cases
from weftwork.testing.patience import patient
from weftwork.verifier.model import OVN_IN_USER_SPACE, Traits

pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="OVN is not installed")


@pytest.fixture(scope="module")
def plane() -> Iterator[OvnPlane]:
    with OvnPlane() as plane:
        plane.wire.patience_s = patient(plane.wire.patience_s)
        yield plane


def test_ovn_does_what_the_model_says(plane: OvnPlane) -> None:
    tally = run_cases(plane, range(FIRST_SEED, FIRST_SEED + CASES))
    assert not tally.disagreement, tally.disagreement
    assert tally.packets > CASES * 20
    assert tally.packets * 0.2 < tally.delivered < tally.packets * 0.8, "both verdicts are common"


@pytest.mark.parametrize("trait", [one.name for one in fields(Traits)])
def test_what_is_said_to_differ_does(plane: OvnPlane, trait: str) -> None:
    plane.wire.patience_s, before = 0.2, plane.wire.patience_s
    plane.traits = replace(OVN_IN_USER_SPACE, **{trait: not getattr(OVN_IN_USER_SPACE, trait)})
    try:
        tally = run_cases(plane, range(CASES_UNTIL_FOUND), make_small=False)
    finally:
        plane.traits, plane.wire.patience_s = OVN_IN_USER_SPACE, before
    assert tally.disagreement, f"not found in {tally.packets} packets"
