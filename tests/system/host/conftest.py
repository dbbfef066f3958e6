"""An agent without a server, in the network of the test run; each test leaves nothing behind."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_kit import Host

from weftwork.testing.guests import run
from weftwork.testing.residue import Residue


@pytest.fixture(scope="module")
def standing() -> Iterator[Host]:
    before = Residue.look()
    folder = Path(tempfile.mkdtemp(prefix="weft-host-"))
    one = Host(folder)
    try:
        one.start()
        yield one
    finally:
        one.kill(signal.SIGTERM)
        shutil.rmtree(folder)
    assert before.left_over() == []


@pytest.fixture
def host(standing: Host) -> Iterator[Host]:
    with standing.guests:
        yield standing
        for vpc_id in [seen.stack.vpc_id for seen in standing.ask(lambda client: client.list_stacks())]:
            standing.ask(lambda client, vpc_id=vpc_id: client.delete_stack(vpc_id, cascade=True))  # type: ignore[misc]
    assert not [name for name in run("ip", "netns", "list").split() if name.startswith("weft-")]
