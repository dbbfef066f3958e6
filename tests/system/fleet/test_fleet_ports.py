"""Ports on hosts of a fleet, seen from the server: TAPs, captures, logged packets, plans and bundles."""

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fleet_kit import RED, Fleet

from weftwork.apps.lab.machine import end
from weftwork.client import ApiError
from weftwork.client.messages import Port
from weftwork.testing.cloud import WAIT_S

pytestmark = pytest.mark.linux

_VMM = """
import sys
from weftwork.testing.vmm import Vmm
netns, device, mac, address, *others = sys.argv[1:]
with Vmm(netns, device, mac, address) as vm:
    for other in others:
        in_subnet = other.rpartition(".")[0] == address.rpartition(".")[0]
        behind = vm.resolve(other if in_subnet else address.rpartition(".")[0] + ".1")
        print(other, bool(behind) and vm.ping(other, behind), flush=True)
    sys.stdin.read()
"""


@contextmanager
def machine_behind(fleet: Fleet, port: Port, host: str, *others: str) -> Iterator[Callable[[], str]]:
    """A process that has the port's TAP open; what it says of the addresses that it pings."""
    log = fleet.lab.folder / f"{port.name}-{host}.log"
    log.unlink(missing_ok=True)
    command = (sys.executable, "-c", _VMM, port.device_netns, port.device, port.mac_address, port.ip_address, *others)
    script = 'sleep infinity | exec "$@"'
    running = fleet.lab.state.hosts[host].machine.start("sh", "-c", script, "sh", *command, log=log)
    try:
        yield lambda: log.read_text() if log.exists() else ""
    finally:
        os.killpg(running, signal.SIGKILL)
        end(running)


def attach(fleet: Fleet, name: str, host: str) -> Port:
    attached = fleet.cloud.do(fleet.cloud.client.attach_port(RED, name, "vm-1", host=host))
    fleet.cloud.wait_programmed("port", RED, attached.id, attached.revision, WAIT_S)
    return attached


def test_a_machine_with_a_tap_reaches_and_is_reached_across_hosts_and_moves(fleet: Fleet) -> None:
    fleet.cloud.port(RED, "tap1")
    others = [fleet.lab.state.guests[name].address for name in ("red1", "red2", "red3")]
    try:
        for host, left in (("h2", "h3"), ("h3", "h2")):
            port = attach(fleet, "tap1", host)
            with machine_behind(fleet, port, host, *others) as said:
                fleet.until(lambda: said().count("\n") >= 3, "it has pinged all three", 30)
                assert said() == "".join(f"{one} True\n" for one in others)
                assert all(fleet.lab.ping(one, port.ip_address) for one in ("red1", "red2", "red3"))
            there = fleet.lab.state.hosts[left].machine
            links = there.run("ip", "-n", port.device_netns, "-o", "link", check=False)
            assert port.device not in links
        fleet.until(lambda: fleet.cloud.leaks() == [], "no leak after the move")
    finally:
        fleet.cloud.do(fleet.cloud.client.detach_port(RED, "tap1"))
        fleet.cloud.do(fleet.cloud.client.delete_port(RED, "tap1"))


def test_a_port_of_a_fleet_is_attached_on_a_named_host_or_not_at_all(fleet: Fleet) -> None:
    fleet.cloud.port(RED, "tap2")
    try:
        for asked, code in (({}, "HOST_NOT_NAMED"), ({"host": "h77"}, "HOST_NOT_FOUND")):
            with pytest.raises(ApiError) as error:
                fleet.cloud.do(fleet.cloud.client.attach_port(RED, "tap2", "vm-1", **asked))
            assert error.value.reason == code
        attach(fleet, "tap2", "h2")
        with pytest.raises(ApiError) as error:
            fleet.cloud.gather(fleet.cloud.client.hosts.remove("h2"))
        assert error.value.reason == "HOST_IN_USE"
    finally:
        fleet.cloud.do(fleet.cloud.client.delete_port(RED, "tap2"))


def test_a_plan_says_what_which_host_would_do(fleet: Fleet) -> None:
    scope = fleet.cloud.port_info(RED, "red2").device_netns
    before = {name: fleet.host(name).desired_generation for name in ("h1", "h2", "h3")}

    (regrouped,) = fleet.cloud.gather(fleet.cloud.client.set_security_groups(RED, "red2", []).plan())
    (moved,) = fleet.cloud.gather(fleet.cloud.client.plug_port(RED, "red2", "red2", host="h3").plan())

    assert {(step.host, step.scope) for step in regrouped.steps} == {(name, scope) for name in before}
    of_links = {(step.host, step.action) for step in moved.steps if step.kind == "link"}
    assert {host for host, _ in of_links} == {"h2", "h3"}, "h1 only learns another way"
    assert {name: fleet.host(name).desired_generation for name in before} == before, "nothing was done"


def test_packets_of_a_port_on_a_host_can_be_seen(fleet: Fleet) -> None:
    address = fleet.lab.state.guests["red3"].address

    async def captured() -> list[Any]:
        packets: list[Any] = []
        events = fleet.cloud.client.packets.capture(RED, "red3", expression="icmp", seconds=20, packets=4)
        async for event in events:
            if not event.packets and not event.ended:
                threading.Thread(target=fleet.lab.ping, args=("red1", "red3"), kwargs={"count": 2}).start()
            packets += event.packets
        return packets

    (packets,) = fleet.cloud.gather(captured())

    assert len(packets) == 4
    assert all(bytes(map(int, address.split("."))) in one.data for one in packets)


def test_a_filter_that_is_none_is_refused_by_the_host_with_its_code(fleet: Fleet) -> None:
    async def capture() -> None:
        async for _ in fleet.cloud.client.packets.capture(RED, "red3", expression="no such word"):
            pass

    with pytest.raises(ApiError) as error:
        fleet.cloud.gather(capture())
    assert error.value.reason == "CAPTURE_FILTER_INVALID"


def test_a_capture_on_a_host_whose_agent_is_gone_says_so(fleet: Fleet) -> None:
    async def capture() -> None:
        async for event in fleet.cloud.client.packets.capture(RED, "red3", seconds=60):
            if not event.packets:
                fleet.lab.kill("h3")

    with pytest.raises(ApiError) as error:
        fleet.cloud.gather(capture())
    assert error.value.reason == "HOST_UNREACHABLE"


def test_what_hosts_drop_and_pass_is_told_once_and_by_the_port_s_own_host(fleet: Fleet) -> None:
    packets = fleet.cloud.client.packets
    fleet.cloud.do(packets.set_flow_log(RED, enabled=True, allowed=True))
    fleet.cloud.group(RED, "closed", ingress=[], egress=[])
    try:
        fleet.cloud.settle()
        fleet.cloud.set_groups(RED, "red3", ["closed"])

        def told(**wanted: Any) -> list[Any]:
            return [
                one for one in fleet.cloud.do(packets.list_flows(RED, limit=2000, **wanted)) if one.protocol == "icmp"
            ]

        def dropped_is_told() -> bool:
            assert not fleet.lab.ping("red1", "red3")
            return any(one.reason == "denied_in" for one in told())

        pings = 0

        def passed() -> Counter[tuple[str, str]]:
            return Counter((one.port_name, one.direction) for one in told(verdict="allowed"))

        def three_are_told_at_both_ends() -> bool:
            nonlocal pings
            assert fleet.lab.ping("red1", "red2")
            pings += 1
            return min(passed()[end] for end in (("red1", "egress"), ("red2", "ingress"))) >= 3

        fleet.until(dropped_is_told, "the drop is told")
        fleet.until(three_are_told_at_both_ends, "what passed is told at both ends")
        dropped = {(one.port_name, one.direction) for one in told(verdict="dropped")}
        assert dropped == {("red3", "ingress")}
        assert passed().keys() == {("red1", "egress"), ("red2", "ingress")}
        assert max(passed().values()) <= pings, "each end is told of once"
    finally:
        fleet.cloud.set_groups(RED, "red3", ["default"])
        fleet.cloud.do(fleet.cloud.client.delete_security_group(RED, "closed"))
        fleet.cloud.do(packets.set_flow_log(RED, enabled=False))


def test_the_bundle_holds_what_each_host_tells_of_itself_and_says_who_is_silent(fleet: Fleet) -> None:
    fleet.lab.kill("h2")
    fleet.until(lambda: not fleet.ready("h2"), "h2 is lost")

    async def collected() -> dict[str, str]:
        files: dict[str, bytearray] = {}
        async for part in fleet.cloud.client.packets.collect_bundle():
            files.setdefault(part.name, bytearray()).extend(part.data)
        return {name: data.decode(errors="replace") for name, data in files.items()}

    (files,) = fleet.cloud.gather(collected())

    scope = fleet.cloud.port_info(RED, "red1").device_netns
    assert "kernel" in files["hosts/h1/doctor.txt"]
    assert "table bridge weftwork" in files[f"hosts/h1/net/{scope}/nft.txt"]
    assert "vxlan" in files[f"hosts/h3/net/{scope}/addr.txt"]
    assert "is not connected" in files["hosts/h2/failed.txt"]
    assert json.loads(files["targets.json"])
