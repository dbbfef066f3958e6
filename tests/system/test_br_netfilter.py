"""Somebody loads br_netfilter, as Docker does, while we run: it opens nothing, closes nothing and doubles nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weftwork.testing.cloud import allow
from weftwork.testing.guests import run
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node
from weftwork.testing.pinger import Pinger

CALL_IPTABLES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
OUTER = "203.0.113.30"


@pytest.fixture
def load() -> Iterator[Callable[[], str]]:
    """Loads the module, and takes it out in the end. Only in the guest of tools/stock_kernel.py."""
    if not Path("/run/stock-kernel").exists():
        pytest.skip("this kernel is not ours to load modules into")
    if CALL_IPTABLES.exists():
        pytest.skip("br_netfilter is there already")
    yield lambda: run("modprobe", "br_netfilter")
    run("modprobe", "-r", "br_netfilter")


@pytest.mark.stock
def test_br_netfilter_comes_while_packets_flow(
    tenant: Callable, internet: Internet, node: Node, load: Callable[[], str]
) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "closed", egress=[allow("all", None, "0.0.0.0/0")])
    a, b, stranger = mine.boot("a"), mine.boot("b"), mine.boot("stranger", groups=("closed",))
    b.serve(tcp=[80])
    mine.cloud.snat(mine.project, OUTER)
    flow = a.connect(b.address, 80)
    with Pinger(a, b.address) as pinger:
        load()
        assert CALL_IPTABLES.read_text().strip() == "1", "on, as it comes: the worst case"
        assert flow.echo(), "what flowed still flows"
        assert a.tcp(b.address, 80), "what may pass passes"
        assert stranger.tcp(b.address, 80, timeout_s=0.4) is None
        assert not stranger.ping(b.address, timeout_s=0.4) and not a.ping(stranger.address, timeout_s=0.4)
        server = internet.serve(tcp=[8090])
        assert a.tcp(Internet.SERVER, 8090)
        assert server.peers == (OUTER,)
        server.close()
    assert pinger.sent > 20 and pinger.lost == 0

    # What is made and changed afterwards.
    late = mine.boot("late")
    assert late.ping(b.address, tries=3) and late.tcp(b.address, 80)
    assert stranger.tcp(b.address, 80, timeout_s=0.4) is None
    mine.cloud.set_groups(mine.project, "a", [])
    assert not flow.echo(timeout_s=0.4), "a change still ends what it takes away"
    assert a.tcp(b.address, 80, timeout_s=0.4) is None
    flow.close()
