"""The judge finds every fault that is seeded, and has nothing to say about what is right.

More of both: `make faults`.
"""

from weftwork.testing.faults.run import false_alarms, seed_faults

FAULTS = 100
PROGRAMS = 40


def test_every_seeded_fault_is_found_unless_it_changes_nothing() -> None:
    tally = seed_faults(FAULTS)

    assert not tally.missed
    assert tally.found > FAULTS * 0.9
    assert len(tally.seeded) > 20, "few kinds of faults were drawn: the suite says little"


def test_a_right_program_and_a_right_change_raise_no_alarm() -> None:
    assert list(false_alarms(PROGRAMS, first_seed=1000)) == []
