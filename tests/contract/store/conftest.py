"""Every test of the contract runs against every kind of store; one server of each kind serves all tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_kinds import KINDS, Place

from weftwork.testing.etcd_cluster import EtcdCluster
from weftwork.testing.postgres_server import PostgresServer


@pytest.fixture(params=sorted(KINDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place("sqlite", path=str(tmp_path))
    server: Place = request.getfixturevalue(f"{request.param}_server")
    return server.fresh()


@pytest.fixture(params=sorted(KINDS))
def own_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """For what concerns all that is at a server: etcd forgets the history of everybody at once."""
    if request.param == "etcd":
        with EtcdCluster(tmp_path / "etcd") as cluster:
            yield Place("etcd", server=",".join(cluster.endpoints)).fresh()
    elif request.param == "postgres":
        server: Place = request.getfixturevalue("postgres_server")
        yield server.fresh()
    else:
        yield Place("sqlite", path=str(tmp_path))


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """One that PostgreSQL, which is not root, can enter; pytest's own is for root alone."""
    folder = _open_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield Place("etcd", server=",".join(cluster.endpoints))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Place]:
    folder = _open_folder()
    with PostgresServer(folder / "postgres") as server:
        yield Place("postgres", server=server.dsn, password_file=str(server.password_file))
    shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="weft-store-"))
    folder.chmod(0o755)
    return folder
