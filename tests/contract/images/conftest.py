"""A real registry for the session, and folders of images that are empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from weftwork.images.cache import Images
from weftwork.testing.registry_server import RegistryServer


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "images")
