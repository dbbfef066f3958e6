"""Every test of the contract runs against every kind of store."""

from pathlib import Path

import pytest
from store_kinds import KINDS, Place


@pytest.fixture(params=sorted(KINDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)
