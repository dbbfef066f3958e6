"""One `weft up` for the session, a project of its own for every test, and nothing left behind by any.

WEFT_TEST_VARIANTS names the data planes that the same tests run over, one `weft up` after the other.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from variants import VARIANTS, Variant

from weftwork.testing.cloud import Cloud
from weftwork.testing.guests import Guest, run
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node
from weftwork.testing.residue import Residue

CHOSEN = os.environ.get("WEFT_TEST_VARIANTS", "default").split()

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine has one agent: tests with a node of their own come before those that share the session's (`shared`)."""
    here = Path(__file__).parent
    items.sort(key=lambda item: "node" in getattr(item, "fixturenames", ()))
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)
            if "node" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.shared)
            if item.get_closest_marker("linux") and _variant_of(item) == "ovn":
                item.add_marker(pytest.mark.skip(reason="looks at the Linux data plane itself"))


def _variant_of(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("variant") if callspec else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", CHOSEN, indirect=True, scope="session")


@pytest.fixture(scope="session")
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen = VARIANTS[request.param]
    if chosen.module:
        run("modprobe", chosen.module)
    return chosen


@pytest.fixture(scope="session")
def node(variant: Variant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    before = Residue.look()
    folder = tmp_path_factory.mktemp("weft")
    settings = {"WEFT_NETWORK_FILTER_MODE": variant.filter_mode or "auto"}
    external = (Internet.CIDR, Internet.GATEWAY)
    with Node(folder, external=external, layout=variant.layout, backend=variant.backend, environment=settings) as node:
        assert f"filter mode {variant.chosen}" in node.log.read_text()
        yield node
    assert before.left_over() == [], "weft down left something on this machine"


@pytest.fixture(scope="session")
def session_cloud(node: Node) -> Iterator[Cloud]:
    with node.cloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def internet(node: Node) -> Iterator[Internet]:
    with Internet("wt-internet") as internet:
        internet.serve(tcp=[80, 8080], udp=[53])
        yield internet


@pytest.fixture
def cloud(session_cloud: Cloud) -> Iterator[Cloud]:
    yield session_cloud
    assert session_cloud.leaks() == []


class Tenant:
    """One project and its guests."""

    def __init__(self, cloud: Cloud, project: str, stack: ExitStack) -> None:
        self.cloud = cloud
        self.project = project
        self._stack = stack

    def boot(
        self, name: str, *, subnet: str = "default", groups: tuple[str, ...] = ("default",), dhcp: bool = True
    ) -> Guest:
        """A port, plugged into a namespace of its own, configured by DHCP."""
        self.cloud.port(self.project, name, subnet=subnet, groups=list(groups))
        return self.boot_port(name, dhcp=dhcp)

    def boot_port(self, name: str, *, dhcp: bool = True) -> Guest:
        guest = self._stack.enter_context(Guest.boot(f"wt{next(_numbers)}-{name}"))
        self.cloud.plug(self.project, name, guest.name)
        if dhcp:
            assert guest.dhcp() is not None, f"{name} got no address"
        return guest


@pytest.fixture
def tenant(cloud: Cloud) -> Iterator[Callable[..., Tenant]]:
    """Makes projects, with a VPC of 10.20.0.0/16 unless told otherwise; removes them in the end."""
    projects: list[str] = []
    with ExitStack() as guests:

        def make(cidr: str = "10.20.0.0/16") -> Tenant:
            project = f"test/p{next(_numbers)}"
            cloud.vpc(project, cidr)
            projects.append(project)
            return Tenant(cloud, project, guests)

        yield make
        # Before the guests: a port whose namespace has gone cannot be programmed, and somebody would be told.
        # The last one first: its guests may be in the subnet of one before.
        for project in reversed(projects):
            cloud.delete_vpc(project, cascade=True)
