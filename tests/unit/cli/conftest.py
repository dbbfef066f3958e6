"""One server for all tests of the CLI; each test has a project of its own."""

from collections.abc import Iterator

import pytest
from cli_server import Weft, running_server


@pytest.fixture(scope="session")
def _weft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weft]:
    with running_server(tmp_path_factory.mktemp("cli")) as weft:
        yield weft


@pytest.fixture
def weft(_weft: Weft) -> Weft:
    _weft.begin()
    return _weft
