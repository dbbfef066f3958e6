"""One lab of three hosts for all tests of a fleet; each leaves it whole."""

from collections.abc import Iterator

import pytest
from fleet_kit import Fleet

from weftwork.testing.residue import Residue


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    before = Residue.look()
    with Fleet.up(tmp_path_factory.mktemp("fleet"), hosts=3) as fleet:
        yield fleet
    assert before.left_over() == []


@pytest.fixture
def fleet(standing: Fleet) -> Iterator[Fleet]:
    yield standing
    standing.whole()
