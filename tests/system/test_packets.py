"""Packets can be captured, and what became of them is counted."""

import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from weftwork.client import ApiError
from weftwork.client.messages import CaptureEvent
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest, ethernet, icmp_echo, ipv4
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node
from weftwork.testing.patience import patient

pytestmark = pytest.mark.linux

PORT = 7000


@pytest.fixture
def pair(tenant: Callable) -> Iterator[tuple[Any, Guest, Guest]]:
    """Two guests; `server` takes TCP at one port, from anybody."""
    mine = tenant()
    mine.cloud.group(
        mine.project, "web", ingress=[allow("tcp", PORT, "10.20.0.0/16")], egress=[allow("all", None, "0.0.0.0/0")]
    )
    client, server = mine.boot("client", groups=("web",)), mine.boot("server", groups=("web",))
    server.serve(tcp=[PORT, PORT + 1])
    yield mine, client, server


def captured(cloud: Cloud, project: str, port: str, do: Callable[[], object], **wanted: Any) -> list[CaptureEvent]:
    """Everything, from a capture that was listening before anything was done."""
    events: list[CaptureEvent] = []

    async def all_of_it() -> None:
        async for event in cloud.client.packets.capture(project, port, **wanted):
            events.append(event)

    running = cloud.begin(all_of_it())
    deadline = time.monotonic() + patient(10)
    while not events:
        assert not running.done() or running.result(), "it ended"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    do()
    running.result(patient(20))
    return events


def test_a_capture_has_what_the_filter_lets_through_and_nothing_else(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair

    def talk() -> None:
        client.ping(server.address, timeout_s=0.2)
        assert client.tcp(server.address, PORT) is not None

    events = captured(
        mine.cloud, mine.project, "server", talk, expression=f"tcp port {PORT}", packets=3, snap_length=60
    )
    packets = [one for event in events for one in event.packets]
    assert events[-1].ended == "packets" and len(packets) == 3
    for one in packets:
        ends = struct.unpack_from(">HH", one.data, 34)
        assert PORT in ends and len(one.data) <= 60 <= one.length
        assert abs(one.at_ns / 1e9 - time.time()) < 60
    syn = packets[0].data
    assert syn[26:30] == bytes(map(int, client.address.split(".")))


@pytest.mark.parametrize("expression", ["bogus !!", "-w /tmp/x", "host $(reboot)", "x" * 1001])
def test_a_filter_that_is_none_is_refused(pair: tuple[Any, Guest, Guest], expression: str) -> None:
    mine, _, _ = pair
    with pytest.raises(ApiError, match="CAPTURE_FILTER_INVALID"):
        captured(mine.cloud, mine.project, "server", lambda: None, expression=expression)


def test_a_capture_ends_with_its_client_and_is_in_the_audit_log(pair: tuple[Any, Guest, Guest], node: Node) -> None:
    mine, client, server = pair
    scope = mine.cloud.port_info(mine.project, "server").device_netns
    before = packet_sockets(scope)
    command = [
        sys.executable,
        "-m",
        "weftwork.apps.weft",
        "--server",
        node.address,
        "-P",
        mine.project,
        "tcpdump",
        "server",
        "tcp",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as weft:
        assert weft.stderr is not None and weft.stdout is not None
        assert b"listening" in weft.stderr.readline()
        assert client.tcp(server.address, PORT) is not None
        assert len(weft.stdout.read(24 + 16 + 54)) == 94
        assert packet_sockets(scope) == before + 1
        weft.kill()
    deadline = time.monotonic() + patient(5)
    while packet_sockets(scope) != before:
        assert time.monotonic() < deadline, "the capture goes on without its client"
        time.sleep(0.02)
    org, project = mine.project.split("/")

    async def noted() -> list[str]:
        found = mine.cloud.client.access.audit_entries(org=org, project=project, about="capture")
        return [change.after async for entry in found for change in entry.changes]

    assert '"expression":"tcp"' in mine.cloud.do(noted())[0]


def packet_sockets(scope: str) -> int:
    """Of AF_PACKET, in a namespace."""
    return len(
        subprocess.run(
            ["ip", "netns", "exec", scope, "cat", "/proc/net/packet"], capture_output=True
        ).stdout.splitlines()
    )


def test_what_a_port_lied_about_and_what_nat_uses_are_metrics(
    tenant: Callable, internet: Internet, node: Node, pair: tuple[Any, Guest, Guest]
) -> None:
    mine, client, server = pair
    mine.cloud.do(mine.cloud.client.create_snat(mine.project))
    mine.cloud.settle()
    client.send_frame(ethernet(client.mac, server.mac, 0x0800, ipv4("10.20.0.77", server.address, 1, icmp_echo())))
    assert client.tcp(internet.SERVER, 80) is not None
    assert client.tcp(server.address, PORT + 1, timeout_s=0.3) is None
    text = ""
    deadline = time.monotonic() + patient(20)
    wanted = (
        f'weft_port_dropped_packets_total{{port="client",project="{mine.project}",reason="spoofed_ip"}} 1.0',
        f'weft_dropped_packets_total{{project="{mine.project}",reason="denied_in"}}',
        'weft_nat_ports_used{address="203.0.113.',
        f'weft_conntrack_entries{{project="{mine.project}"}}',
        "weft_conntrack_max",
    )
    while not all(one in text for one in wanted):
        assert time.monotonic() < deadline, [one for one in wanted if one not in text]
        text = scraped(node)
        time.sleep(0.2)


def scraped(node: Node) -> str:
    socket = str(node.socket).replace("api.sock", "rest.sock")
    return subprocess.run(
        ["curl", "-s", "--unix-socket", socket, "http://localhost/metrics"], capture_output=True, text=True, check=True
    ).stdout
