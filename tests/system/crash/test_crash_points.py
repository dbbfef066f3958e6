"""Killed at every durable step and before every driver call of every change: then all is whole, and nothing leaks."""

import random

import pytest
from crash_cases import CASES
from crash_choice import chosen, some_of
from crash_world import Case, World

BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_killed_at_every_step(world: World, case: Case, chance: random.Random) -> None:
    steps = world.steps(case)
    assert steps[0] == "store: before the commit"
    for fatal in chosen(steps, chance):
        world.trial(case, fatal)


@pytest.mark.parametrize("name", ["create VPC", "delete VPC with everything in it", "plug port", "delete SNAT"])
def test_killed_again_at_every_step_of_the_recovery(world: World, name: str, chance: random.Random) -> None:
    case = BY_NAME[name]
    steps = world.steps(case)
    fatal = chance.randrange(4, len(steps) + 1)
    for again in some_of(chosen(world.recovery_steps(case, fatal), chance), chance):
        world.trial(case, fatal, again)
