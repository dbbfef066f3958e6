"""`weft up` on etcd and on PostgreSQL as a user runs it, with a second server beside it, which goes on when it dies."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from weftwork.client.messages import Confirmation
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.etcd_cluster import EtcdCluster
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node
from weftwork.testing.patience import patient
from weftwork.testing.postgres_server import PostgresServer
from weftwork.testing.residue import Residue

PROJECT = "acme/web"
LEASE_S = 2
WITHIN_S = 3
Said = dict[str, str]
"""Settings, as variables."""


@contextmanager
def etcd(folder: Path) -> Iterator[Said]:
    with EtcdCluster(folder / "etcd", members=3) as cluster:
        yield {"WEFT_STORAGE_BACKEND": "etcd", "WEFT_STORAGE_ETCD_ENDPOINTS": ",".join(cluster.endpoints)}


@contextmanager
def postgres(folder: Path) -> Iterator[Said]:
    with PostgresServer(folder / "postgres") as server:
        said = {"WEFT_STORAGE_BACKEND": "postgres", "WEFT_STORAGE_POSTGRES_DSN": server.dsn}
        yield {**said, "WEFT_STORAGE_PASSWORD_FILE": str(server.password_file)}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that PostgreSQL, which is not root, can enter."""
    folder = Path(tempfile.mkdtemp(prefix="weft-shared-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("store", [etcd, postgres], ids=["etcd", "postgres"])
def test_guests_talk_through_a_restart_and_the_other_server_undoes_what_nobody_confirms(
    store: Callable[[Path], AbstractContextManager[Said]], open_folder: Path
) -> None:
    before = Residue.look()
    with ExitStack() as stack:
        variables = stack.enter_context(store(open_folder))
        variables["WEFT_STORAGE_LEASE_S"] = str(LEASE_S)
        up, other = (
            Node(made(open_folder / name), command=command, environment=variables)
            for name, command in (("up", "up"), ("other", "server"))
        )
        stack.enter_context(up)
        one, two = stack.enter_context(Guest.boot("wt-one")), stack.enter_context(Guest.boot("wt-two"))
        with up.cloud() as cloud:
            cloud.vpc(PROJECT, "10.20.0.0/16")
            for guest in (one, two):
                cloud.port(PROJECT, guest.name)
                cloud.plug(PROJECT, guest.name, guest.name)
                assert guest.dhcp() is not None
        other.start()
        stack.callback(other.kill)
        with other.cloud() as elsewhere:
            address = elsewhere.port_info(PROJECT, "wt-two").ip_address
            egress = [allow("all", None, "0.0.0.0/0")]
            elsewhere.do(elsewhere.client.create_security_group(PROJECT, "closed", egress=egress))
            assert one.ping(address)
            for group, passes in (("closed", False), ("default", True)):
                elsewhere.do(elsewhere.client.set_security_groups(PROJECT, "wt-two", [group]))
                assert becomes(lambda wanted=passes: one.ping(address, timeout_s=0.3) is wanted), (
                    "what the other server accepted is carried out here"
                )

            up.kill()
            assert one.ping(address), "guests need no server"
            up.start()
            with up.cloud() as cloud:
                assert cloud.drift() == []
                cloud.do(
                    cloud.client.create_security_group(PROJECT, "brief").until_confirmed("brief", within_s=WITHIN_S)
                )
                (waiting,) = confirmations(cloud)
            up.kill()
            undone_at = undone(elsewhere)
            assert undone_at - waiting.deadline < LEASE_S + patient(3), "undone too late"
            groups = {group.name for group in elsewhere.collect(elsewhere.client.list_security_groups(PROJECT))}
            assert groups == {"default", "closed"}
        assert one.ping(address)
    assert before.left_over() == []


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def becomes(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + patient(10)
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def confirmations(cloud: Cloud) -> list[Confirmation]:
    return list(cloud._run(cloud.client.list_confirmations(PROJECT)))


def undone(cloud: Cloud) -> float:
    """When it was seen to be."""
    deadline = time.monotonic() + WITHIN_S + LEASE_S + patient(15)
    while True:
        (found,) = confirmations(cloud)
        if found.State.Name(found.state) == "STATE_UNDONE":
            return time.time()
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
