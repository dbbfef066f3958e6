"""What the model says and what the kernel does is the same, packet by packet; and when it is not, that is found."""

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.security_group import PortRange, Rule
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.linux_plane import LinuxPlane
from weftwork.testing.equivalence.run import run_cases
from weftwork.testing.equivalence.telling import telling
from weftwork.testing.patience import FACTOR, patient
from weftwork.verifier.model import Model

CASES = int(os.environ.get("WEFT_EQUIVALENCE_CASES", str(int(300 / FACTOR**2))))
"""300 take half a minute; on an emulated kernel a few must do."""
FIRST_SEED = int(os.environ.get("WEFT_EQUIVALENCE_SEED", "0"))
CASES_UNTIL_FOUND = 60
CASES_TO_CHOOSE_FROM, TELLING_CASES = 300, 30
"""Of the first, so many are sent as can tell a fault: some show in one packet of a thousand."""


@pytest.fixture(scope="module")
def plane(variant: Any) -> Iterator[LinuxPlane]:
    with LinuxPlane(variant.layout or "bridges", variant.filter_mode or None) as plane:
        assert variant.chosen in ("", plane.profile.filter_mode)
        plane.wire.patience_s = patient(plane.wire.patience_s)
        yield plane


def test_the_kernel_does_what_the_model_says(plane: LinuxPlane) -> None:
    """Twenty packets under an intent, their answers, and as many again after a change of it, in every case."""
    tally = run_cases(plane, range(FIRST_SEED, FIRST_SEED + CASES))
    assert not tally.disagreement, tally.disagreement
    assert tally.packets > CASES * 20
    assert tally.packets * 0.2 < tally.delivered < tally.packets * 0.8, "both verdicts are common"


Wrong = Callable[[ProjectIntent], None]


def change_rules(
    own: ProjectIntent, ingress: Callable[[Rule], Rule | None], egress: Callable[[Rule], Rule | None]
) -> None:
    for group in own.groups.values():
        inwards = tuple(new for rule in group.ingress if (new := ingress(rule)))
        outwards = tuple(new for rule in group.egress if (new := egress(rule)))
        make.put(own, replace(group, ingress=inwards, egress=outwards))


def same(rule: Rule) -> Rule:
    return rule


def one_more(rule: Rule) -> Rule:
    if rule.ports is None or rule.ports.max == 65535:
        return rule
    return replace(rule, ports=PortRange(rule.ports.min, rule.ports.max + 1))


def one_less(rule: Rule) -> Rule | None:
    if rule.ports is None:
        return rule
    ports = PortRange(rule.ports.min + 1, rule.ports.max)
    return replace(rule, ports=ports) if ports.min <= ports.max else None


def wrong_direction(own: ProjectIntent) -> None:
    for group in own.groups.values():
        make.put(own, replace(group, ingress=group.egress, egress=group.ingress))


def forgotten_member(own: ProjectIntent) -> None:
    for port in own.ports.values():
        make.put(own, replace(port, groups=port.groups[:1]))


def forgotten_forward(own: ProjectIntent) -> None:
    own.dnats.clear()


def wrong_translation(own: ProjectIntent) -> None:
    for dnat in own.dnats.values():
        make.put(own, replace(dnat, internal_port=dnat.internal_port - 1))


WRONG: dict[str, Wrong] = {
    "ranges end one too late, inwards": lambda own: change_rules(own, one_more, same),
    "ranges begin one too late, outwards": lambda own: change_rules(own, same, one_less),
    "directions changed places": wrong_direction,
    "only the first group of a port counts": forgotten_member,
    "DNAT forgotten": forgotten_forward,
    "DNAT to the wrong port": wrong_translation,
    "SNAT forgotten": lambda own: setattr(own, "snat", None),
}


class WrongPlane:
    """A data plane with a fault: it carries out something else than it was asked for."""

    def __init__(self, plane: LinuxPlane, wrong: Wrong) -> None:
        self.wire, self.traits = plane.wire, plane.traits
        self.settle, self.opinion = plane.settle, plane.opinion
        self._plane, self._wrong = plane, wrong

    def apply(self, intent: Intent) -> None:
        other = deepcopy(intent)
        for own in other.values():
            self._wrong(own)
        self._plane.apply(other)

    def forget_flows(self) -> None:
        self._plane.forget_flows()


class LatePlane(WrongPlane):
    """Carries out the first intent of each case and not its change: what was revoked goes on."""

    def __init__(self, plane: LinuxPlane) -> None:
        super().__init__(plane, lambda _: None)

    def apply(self, intent: Intent) -> None:
        self._wanted = intent

    def forget_flows(self) -> None:
        self._plane.apply(self._wanted)
        self._plane.forget_flows()


@pytest.fixture
def hasty(plane: LinuxPlane) -> Iterator[LinuxPlane]:
    """Waits shortly for what does not come: a disagreement is expected."""
    patience_s, plane.wire.patience_s = plane.wire.patience_s, 0.2
    yield plane
    plane.wire.patience_s = patience_s


@pytest.mark.parametrize("fault", WRONG)
def test_a_faulty_data_plane_is_found(hasty: LinuxPlane, fault: str) -> None:
    def broken(intent: Intent) -> Model:
        other = deepcopy(intent)
        for own in other.values():
            WRONG[fault](own)
        return Model(other, hasty.traits)

    able = telling(range(CASES_TO_CHOOSE_FROM), lambda intent: Model(intent, hasty.traits), broken)
    tally = run_cases(WrongPlane(hasty, WRONG[fault]), islice(able, TELLING_CASES), make_small=False)
    assert tally.disagreement, f"not found in {tally.packets} packets"


def test_a_change_that_does_not_reach_the_data_plane_is_found_and_the_case_made_small(hasty: LinuxPlane) -> None:
    tally = run_cases(LatePlane(hasty), range(CASES_UNTIL_FOUND))
    assert "after the change" in tally.disagreement
    assert tally.smallest is not None and tally.smallest.after is not None
    assert len(tally.smallest.shots) + len(tally.smallest.later) == 1, tally.disagreement
