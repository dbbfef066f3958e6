"""What became of packets is told to the owner of the port, and to nobody else."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from variants import Variant

from weftwork.client.rules import policy_rule
from weftwork.testing.cloud import Cloud, allow
from weftwork.testing.guests import Guest, arp, ethernet, icmp_echo, ipv4
from weftwork.testing.node import Node
from weftwork.testing.patience import patient

PORT = 7000


def logging(cloud: Cloud, project: str, **said: Any) -> None:
    cloud.do(cloud.client.packets.set_flow_log(project, enabled=True, **said))
    cloud.settle()


def flows(cloud: Cloud, project: str, **wanted: Any) -> list[Any]:
    return list(cloud.do(cloud.client.packets.list_flows(project, limit=2000, **wanted)))


def told(cloud: Cloud, project: str, until: Callable[[list[Any]], bool], **wanted: Any) -> list[Any]:
    """What is listed, once it is as wanted. AssertionError with what is there."""
    deadline = time.monotonic() + patient(5)
    while True:
        found = flows(cloud, project, **wanted)
        if until(found):
            return found
        assert time.monotonic() < deadline, f"only {found} was told"
        time.sleep(0.02)


def has(reason: str) -> Callable[[list[Any]], bool]:
    return lambda found: any(one.reason == reason for one in found)


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


def test_a_drop_is_told_with_its_port_its_reason_and_its_ends(pair: tuple[Any, Guest, Guest], variant: Variant) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project)
    assert client.tcp(server.address, PORT) is not None
    assert client.tcp(server.address, PORT + 1, timeout_s=0.5) is None
    found = told(mine.cloud, mine.project, has("denied_in"))
    (one, *_) = [flow for flow in found if flow.reason == "denied_in"]
    assert (one.port_name, one.direction, one.verdict, one.protocol) == ("server", "ingress", "dropped", "tcp")
    assert (one.source, one.destination, one.destination_port) == (client.address, server.address, PORT + 1)
    assert one.source_port and (one.bytes == 0 if variant.backend == "ovn" else one.bytes >= 40)
    assert abs(one.at_ms / 1000 - time.time()) < 60
    assert all(flow.destination_port != PORT for flow in found), "what is allowed was not asked for"


def test_what_passes_is_told_at_both_ends_if_that_is_wanted(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project, allowed=True)
    assert client.tcp(server.address, PORT) is not None
    found = told(mine.cloud, mine.project, lambda all_: len({one.direction for one in all_}) == 2, verdict="allowed")
    first = {(one.port_name, one.direction) for one in found if one.destination_port == PORT}
    assert first == {("client", "egress"), ("server", "ingress")}


@pytest.mark.linux
def test_nothing_is_told_and_nothing_is_in_the_kernel_while_it_is_off(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project)
    client.tcp(server.address, PORT + 1, timeout_s=0.3)
    before = len(told(mine.cloud, mine.project, has("denied_in")))
    scope = mine.cloud.port_info(mine.project, "server").device_netns
    assert " log prefix " in rules(scope)
    mine.cloud.do(mine.cloud.client.packets.set_flow_log(mine.project, enabled=False))
    mine.cloud.settle()
    assert " log " not in rules(scope) and "log." not in rules(scope)
    client.tcp(server.address, PORT + 1, timeout_s=0.3)
    assert len(flows(mine.cloud, mine.project)) == before


def test_nothing_is_told_and_ovn_logs_nothing_while_it_is_off(
    pair: tuple[Any, Guest, Guest], variant: Variant, node: Node
) -> None:
    if variant.backend != "ovn":
        pytest.skip("the data plane is another")
    mine, client, server = pair
    logging(mine.cloud, mine.project, allowed=True)
    client.tcp(server.address, PORT + 1, timeout_s=0.3)
    before = len(told(mine.cloud, mine.project, has("denied_in")))
    scope = f"weft-{mine.cloud.vpc_info(mine.project).vni}"
    assert f"{scope}/1 in denied_in" in logged_acls(node) and f"{scope}.log.in.allowed:" in meters(node)
    mine.cloud.do(mine.cloud.client.packets.set_flow_log(mine.project, enabled=False))
    mine.cloud.settle()
    assert f"{scope}/" not in logged_acls(node) and f"{scope}." not in meters(node)
    client.tcp(server.address, PORT + 1, timeout_s=0.3)
    assert len(flows(mine.cloud, mine.project)) == before


def logged_acls(node: Node) -> str:
    return nbctl(node, "--bare", "--columns=name", "find", "ACL", "log=true")


def meters(node: Node) -> str:
    return nbctl(node, "meter-list")


def nbctl(node: Node, *words: str) -> str:
    command = ["ovn-nbctl", f"--db=unix:{node.folder}/ovn/ovnnb_db.sock", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def rules(scope: str) -> str:
    return subprocess.run(
        ["ip", "netns", "exec", scope, "nft", "list", "ruleset"], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.linux
def test_whoever_lies_is_known_by_the_device(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project)
    packet = ipv4(server.address, "10.20.0.1", 1, icmp_echo())
    client.send_frame(ethernet(client.mac, server.mac, 0x0800, packet))
    client.send_frame(
        ethernet(
            client.mac,
            "ff:ff:ff:ff:ff:ff",
            0x0806,
            arp(2, client.mac, "10.20.0.1", "00:00:00:00:00:00", server.address),
        )
    )
    found = told(mine.cloud, mine.project, lambda all_: has("spoofed_ip")(all_) and has("spoofed_arp")(all_))
    lies = [one for one in found if one.reason.startswith("spoofed")]
    assert {one.port_name for one in lies} == {"client"} and {one.direction for one in lies} == {"egress"}
    assert {one.protocol for one in lies} == {"icmp", "arp"}


def test_a_flood_is_told_in_part(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project)
    frame = ethernet(client.mac, server.mac, 0x0800, ipv4(client.address, server.address, 1, icmp_echo()))
    began = time.monotonic()
    for _ in range(1000):
        client.send_frame(frame)
    took = time.monotonic() - began
    found = told(mine.cloud, mine.project, has("denied_in"))
    time_for_more = told(mine.cloud, mine.project, lambda all_: len(all_) >= len(found))
    assert 50 <= len(time_for_more) <= 100 * (took + patient(2)) + 100


def test_a_sample_is_a_part_and_says_of_how_many(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project, sample=10)
    frame = ethernet(client.mac, server.mac, 0x0800, ipv4(client.address, server.address, 1, icmp_echo()))
    for _ in range(400):
        client.send_frame(frame)
    found = told(mine.cloud, mine.project, lambda all_: len(all_) >= 10)
    assert len(found) < 100 and {one.sample for one in found} == {10}


def test_peers_are_told_of_their_own_side_only(tenant: Callable) -> None:
    red, blue = tenant("10.30.0.0/16"), tenant("10.40.0.0/16")
    cloud = red.cloud
    cloud.do(cloud.client.create_peering(red.project, blue.project))
    cloud.peer(blue.project, red.project)
    for one in (red, blue):
        cloud.group(one.project, "open", ingress=[], egress=[allow("all", None, "0.0.0.0/0")])
    sender, receiver = red.boot("sender", groups=("open",)), blue.boot("receiver", groups=("open",))
    cloud.settle()
    for one in (red, blue):
        logging(cloud, one.project, allowed=True)
    assert not sender.ping(receiver.address, timeout_s=1)
    theirs = told(cloud, blue.project, has("denied_in"))
    ours = flows(cloud, red.project)
    assert {one.port_name for one in theirs} == {"receiver"}
    assert {(one.direction, one.source) for one in theirs if one.reason == "denied_in"} == {("ingress", sender.address)}
    assert {one.port_name for one in ours} <= {"sender"} and not has("denied_in")(ours)


def test_a_watch_tells_what_comes_and_of_one_port(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    logging(mine.cloud, mine.project)

    async def first() -> Any:
        async with asyncio.timeout(patient(10)):
            async for event in mine.cloud.client.packets.watch_flows(mine.project, port="server"):
                return event.flows[0]
        return None

    waiting = mine.cloud.begin(first())
    deadline = time.monotonic() + patient(10)
    while not waiting.done() and time.monotonic() < deadline:
        client.send_frame(ethernet(client.mac, server.mac, 0x0800, ipv4("10.20.0.77", server.address, 1, icmp_echo())))
        client.tcp(server.address, PORT + 1, timeout_s=0.2)
    assert (waiting.result().port_name, waiting.result().reason) == ("server", "denied_in")


def test_what_a_policy_drops_is_told_with_its_name(pair: tuple[Any, Guest, Guest]) -> None:
    mine, client, server = pair
    name = "no-calls-from-anywhere-" + "x" * 40
    mine.cloud.policy(mine.project, name, "ingress", 10, policy_rule("deny", "tcp", "0.0.0.0/0", PORT))
    logging(mine.cloud, mine.project)
    assert client.tcp(server.address, PORT, timeout_s=0.3) is None
    found = told(mine.cloud, mine.project, has("denied_by_policy"))
    (one, *_) = [flow for flow in found if flow.reason == "denied_by_policy"]
    assert (one.port_name, one.direction, one.policy) == ("server", "ingress", name)
