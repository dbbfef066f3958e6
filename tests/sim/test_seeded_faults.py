"""The judges find every fault that is seeded, and have nothing to say about what is right.

More of both: `make faults`.
"""

from collections.abc import Callable, Iterator

import pytest

from weftwork.testing.faults import on_fleet, on_ovn, run
from weftwork.testing.faults.tally import Faults

FAULTS = {"linux": 100, "fleet": 60, "ovn": 60}
PROGRAMS = 40
SEEDING: dict[str, Callable[[int], Faults]] = {
    "linux": run.seed_faults,
    "fleet": on_fleet.seed_faults,
    "ovn": on_ovn.seed_faults,
}
JUDGING: dict[str, Callable[[int, int], Iterator[str]]] = {
    "linux": run.false_alarms,
    "fleet": on_fleet.false_alarms,
    "ovn": on_ovn.false_alarms,
}


@pytest.mark.parametrize("plane", SEEDING)
def test_every_seeded_fault_is_found_unless_it_changes_nothing(plane: str) -> None:
    """On OVN, one that lets a tenant's packet come to another is told as that, and so kept back."""
    tally = SEEDING[plane](FAULTS[plane])

    assert not tally.missed
    assert tally.found > FAULTS[plane] * 0.8
    assert tally.alarms > FAULTS[plane] * 0.05
    assert len(tally.seeded) > 20, "few kinds of faults were drawn: the suite says little"


@pytest.mark.parametrize("plane", JUDGING)
def test_a_right_program_and_a_right_change_raise_no_alarm(plane: str) -> None:
    assert list(JUDGING[plane](PROGRAMS, 1000)) == []
