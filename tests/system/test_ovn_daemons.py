"""An OVN of our own whose daemons die: they come back, and what was asked for meanwhile is done."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from variants import Variant

from weftwork.testing.cloud import allow
from weftwork.testing.node import Node

DAEMONS = ("ovnnb_db", "ovnsb_db", "ovn-northd", "db", "ovs-vswitchd", "ovn-controller")


@pytest.fixture
def ovn(node: Node, variant: Variant) -> Path:
    """Its folder."""
    if variant.backend != "ovn":
        pytest.skip("there is no OVN")
    return node.folder / "ovn"


def kill(ovn: Path, *daemons: str) -> None:
    for daemon in daemons:
        os.kill(int((ovn / f"{daemon}.pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_that_is_killed_comes_back_and_what_was_asked_meanwhile_is_done(
    tenant: Callable, ovn: Path, daemon: str
) -> None:
    mine = tenant()
    a, b = mine.boot("a"), mine.boot("b")
    kill(ovn, daemon)
    mine.cloud.group(mine.project, "late", ingress=[allow("tcp", 80, "0.0.0.0/0")])
    c = mine.boot("c", groups=("late",))
    c.serve(tcp=[80, 81])
    assert a.tcp(c.address, 80) and a.ping(b.address, tries=5)
    assert a.tcp(c.address, 81, timeout_s=0.4) is None
    assert mine.cloud.drift() == []


def test_node_and_all_daemons_killed_in_the_middle_of_changes_end_where_they_were_asked_to(
    tenant: Callable, ovn: Path, node: Node
) -> None:
    mine = tenant()
    a, b = mine.boot("a"), mine.boot("b")
    for number in range(20):
        mine.cloud.port(mine.project, f"p{number}", vm=f"vm{number}", wait=False)
    mine.cloud.delete_port(mine.project, "p0", wait=False)
    node.kill()
    kill(ovn, *DAEMONS)
    node.start()
    mine.cloud.reconnect()
    mine.cloud.settle()
    assert a.ping(b.address, tries=5)
    assert mine.cloud.drift() == []
