"""A node for the trials of each file, in the network of the run; nothing of it is left behind in the end."""

import os
import random
from collections.abc import Iterator

import pytest
from crash_world import World

from weftwork.testing.residue import Residue


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    before = Residue.look()
    with World(tmp_path_factory.mktemp("crash")) as world:
        yield world
    assert before.left_over() == [], "weft down left something on this machine"
    print(f"\n{request.module.__name__}: {len(world.deaths)} crash points tried, {len(set(world.deaths))} kinds")


@pytest.fixture
def chance() -> random.Random:
    """Printed when a test fails; WEFT_CRASH_SEED repeats it."""
    seed = int(os.environ.get("WEFT_CRASH_SEED", "0")) or random.randrange(1, 2**32)
    print(f"WEFT_CRASH_SEED={seed}")
    return random.Random(seed)
