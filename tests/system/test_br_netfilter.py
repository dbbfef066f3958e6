"""Somebody loads br_netfilter, as Docker does, while we run: it opens nothing, closes nothing and doubles nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weftwork.testing.cloud import allow
from weftwork.testing.drops import dropped
from weftwork.testing.guests import arp, ethernet, icmp_echo, ipv4, run
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node
from weftwork.testing.pinger import Pinger

CALL_IPTABLES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
MARKER = "02:aa:bb:cc:dd:ee"
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


def _nothing_to_do() -> None:
    """The audit sets it again."""


def _load() -> None:
    run("modprobe", "br_netfilter")


def _clear_sysctl(netns: str) -> Callable[[], None]:
    run("ip", "netns", "exec", netns, "sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=0")
    return _nothing_to_do


def _unload(_: str) -> Callable[[], None]:
    if not Path("/run/stock-kernel").exists():
        pytest.skip("this kernel's modules are not ours to unload")
    run("modprobe", "-r", "br_netfilter")
    return _load


@pytest.mark.linux
@pytest.mark.parametrize("take_away", [_clear_sysctl, _unload])
def test_what_the_policy_is_not_shown_is_dropped_whether_anybody_looks_or_not(
    tenant: Callable, node: Node, take_away: Callable[[str], Callable[[], None]]
) -> None:
    if "filter mode br_netfilter" not in node.log.read_text():
        pytest.skip("the policy does not depend on br_netfilter here")
    mine = tenant()
    mine.cloud.group(mine.project, "closed", egress=[allow("all", None, "0.0.0.0/0")])
    a, b, stranger = mine.boot("a"), mine.boot("b"), mine.boot("stranger", groups=("closed",))
    port = mine.cloud.port_info(mine.project, "a")
    assert a.ping(b.address) and not a.ping(stranger.address, timeout_s=0.4)

    os.kill(node.pid, signal.SIGSTOP)
    try:
        give_back = take_away(port.device_netns)
        for one, other in ((a, b), (b, a), (a, stranger), (stranger, a)):
            assert not one.ping(other.address, timeout_s=0.4)
        with stranger.sniff() as sniffer:
            a.send_frame(ethernet(a.mac, stranger.mac, 0x0800, ipv4(a.address, stranger.address, 1, icmp_echo())))
            a.send_frame(ethernet(a.mac, stranger.mac, 0x0806, arp(1, a.mac, a.address, MARKER, stranger.address)))
            frames = sniffer.until(bytes.fromhex(MARKER.replace(":", "")))
        assert not any(frame[12:14] == b"\x08\0" for frame in frames), "the other kind of frame came through"
        assert a.ping("10.20.0.1"), "what is routed is shown to the policy all the same"
        assert dropped(port.device_netns)[port.device, "past_policy"] >= 3
        give_back()
    finally:
        os.kill(node.pid, signal.SIGCONT)

    assert a.ping(b.address, tries=60) and b.ping(a.address, tries=3)
    assert not a.ping(stranger.address, timeout_s=0.4)
