"""Networks of another deployment: a store that is new or wrong does not take them for strays, until it is told to.

In a folder that comes before the tests that share a node: a machine has one agent, and these are of its own.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.program.linux import Namespace
from weftwork.program.plan import Create
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node

pytestmark = pytest.mark.system

PROJECT = "acme/shop"


@dataclass(frozen=True, slots=True)
class Installation:
    """A node that was stopped; its two guests talk, as long as nobody touches what it made."""

    node: Node
    one: Guest
    two: Guest
    address: str

    @property
    def id(self) -> str:
        found = re.search("^deployment: ([0-9a-f]{12}), store", weft("doctor", "--store", str(self.store)).stdout, re.M)
        assert found is not None
        return found[1]

    @property
    def store(self) -> Path:
        return self.node.folder / "store.db"

    def talks(self) -> bool:
        return self.one.ping(self.address)


def weft(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "weftwork.apps.weft", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


over_both = pytest.mark.parametrize("backend", ["linux", "ovn"], indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "linux"))


@pytest.fixture
def standing(backend: str, tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "first"
    folder.mkdir()
    with ExitStack() as stack:
        node = stack.enter_context(Node(folder, backend=backend))
        one, two = (stack.enter_context(Guest.boot(f"wtd-{name}")) for name in ("one", "two"))
        with node.cloud() as cloud:
            cloud.vpc(PROJECT, "10.20.0.0/16")
            for guest in (one, two):
                cloud.port(PROJECT, guest.name)
                cloud.plug(PROJECT, guest.name, guest.name)
                assert guest.dhcp() is not None
        node.stop()
        yield Installation(node, one, two, two.address)


@pytest.fixture
def elsewhere(backend: str, tmp_path: Path) -> Path:
    """The folder of another installation."""
    folder = tmp_path / "second"
    folder.mkdir()
    return folder


@over_both
def test_a_new_store_is_refused_and_names_what_stands(standing: Installation, backend: str, elsewhere: Path) -> None:
    other = Node(elsewhere, backend=backend)

    with pytest.raises(RuntimeError) as refused:
        other.start()

    told = str(refused.value)
    assert "DEPLOYMENT_DIFFERS" in told and f"deployment {standing.id} with weft-" in told
    assert f"weft down --deployment {standing.id}" in told and f"weft up --adopt {standing.id}" in told
    assert standing.talks()
    standing.node.start()
    assert standing.talks()


def test_down_over_another_store_leaves_it_and_says_so(standing: Installation, backend: str, elsewhere: Path) -> None:
    with pytest.raises(RuntimeError, match=f"DEPLOYMENT_DIFFERS.*deployment {standing.id} with"):
        Node(elsewhere, backend=backend).down()

    assert standing.talks()


def test_down_of_a_deployment_by_its_id_removes_it(standing: Installation, backend: str, elsewhere: Path) -> None:
    id_, store = standing.id, ("--store", str(elsewhere / "store.db"), "--backend", backend)

    unknown = weft("down", "--deployment", "0123456789ab", *store)
    assert unknown.returncode == 1 and f"here: {id_}" in unknown.stderr
    assert standing.talks()

    assert weft("down", "--deployment", id_, *store).returncode == 0
    assert not standing.talks()
    assert [name for name in namespaces.names() if name.startswith("weft-")] == []
    with Node(elsewhere, backend=backend) as other, other.cloud() as cloud:
        assert cloud.leaks() == []


@over_both
def test_who_adopts_it_owns_it_and_removes_what_its_store_does_not_want(
    standing: Installation, backend: str, elsewhere: Path
) -> None:
    with Node(elsewhere, backend=backend, arguments=("--adopt", standing.id)) as other, other.cloud() as cloud:
        cloud.settle()
        assert not standing.talks()
        assert cloud.leaks() == [] and cloud.drift() == []

    standing.node.start()
    with standing.node.cloud() as cloud:
        cloud.settle()
        assert standing.one.dhcp() and standing.two.dhcp(), "their devices were made anew"
        assert standing.talks()


def test_what_appears_of_others_is_told_as_a_leak_and_stays(standing: Installation) -> None:
    stranger, name = "0123456789ab", "weft-99999"
    standing.node.start()
    make_namespace(name, stranger)
    try:
        with standing.node.cloud() as cloud:
            cloud.settle()
            assert [leak for leak in cloud.leaks() if name in leak and stranger in leak]
        standing.node.stop()
        down = weft("down", "--store", str(standing.store))
        assert down.returncode == 0 and f"left alone: deployment {stranger} with {name}" in down.stderr
        assert namespaces.is_mounted(name)
    finally:
        assert weft("down", "--deployment", stranger, "--store", str(standing.store)).returncode == 0
    assert not namespaces.is_mounted(name)


def test_what_is_from_before_deployments_is_adopted_by_a_store_that_asks_for_something(
    standing: Installation, elsewhere: Path
) -> None:
    forget_deployments()

    with pytest.raises(RuntimeError, match="deployment unmarked with weft-"):
        Node(elsewhere).start()
    standing.node.start()

    assert standing.talks()
    standing.node.stop()
    assert not weft("doctor", "--store", str(standing.store)).stdout.count("not of this store")


def make_namespace(name: str, deployment: str) -> None:
    async def make() -> None:
        with closing(LinuxDriver(deployment=deployment)) as driver:
            applied = await driver.apply((Create(Namespace(name, "vpc theirs/theirs")),))
        assert not applied.failures

    asyncio.run(make())


def forget_deployments() -> None:
    """Every namespace of ours as it was marked before there were deployments."""

    async def forget() -> None:
        with closing(LinuxDriver(deployment="")) as driver:
            await driver.adopt(frozenset(await driver.standing()))

    asyncio.run(forget())
