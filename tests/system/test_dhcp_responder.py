"""The DHCP responder against real clients, in network namespaces of its own (`wdh…`)."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import pytest

from weftwork.base.addresses import Mac
from weftwork.drivers.dhcp import codec
from weftwork.drivers.dhcp.codec import Frame, Message
from weftwork.drivers.dhcp.driver import DhcpDriver
from weftwork.drivers.dhcp.responder import Outcome
from weftwork.drivers.dhcp.token_bucket import Limits
from weftwork.drivers.linux.namespaces import NETNS, inside, opened
from weftwork.planner.plan import make_plan
from weftwork.program.dhcp import DhcpBinding, DhcpResource, DhcpServer
from weftwork.program.plan import Create, Delete, Replace
from weftwork.program.resource import Resource
from weftwork.testing.patience import patient

pytestmark = pytest.mark.system

PREFIX = "wdh"
WAIT_S = patient(20.0)
GATEWAY, MINE = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.7")
MAC = Mac("02:57:00:00:00:01")
STRANGER = Mac("02:57:00:00:00:99")
T = TypeVar("T")


@dataclass(frozen=True)
class Wire:
    """A router namespace with the bridge `br1`, and one guest behind it: `v0` in a namespace of its own."""

    router: str
    guest: str

    @property
    def server(self) -> DhcpServer:
        return DhcpServer(
            scope=self.router,
            interface="br1",
            server=GATEWAY,
            prefix_length=24,
            dns_servers=(IPv4Address("10.0.0.53"), IPv4Address("10.0.0.54")),
            domain_name="blue.example",
            ntp_servers=(IPv4Address("10.0.0.123"),),
            lease_time_s=3600,
            mtu_bytes=1442,
        )

    @property
    def binding(self) -> DhcpBinding:
        return DhcpBinding(self.router, "br1", MAC, MINE, "web")


def ip(*lines: str) -> None:
    for line in lines:
        ip_output(line)


def ip_output(line: str) -> str:
    return subprocess.run(["ip", *line.split()], check=True, capture_output=True, text=True).stdout


def add_link(wire: Wire, mac: Mac = MAC) -> None:
    ip(
        f"-n {wire.router} link add br1 type bridge mcast_snooping 0",
        f"-n {wire.router} addr add {GATEWAY}/24 dev br1",
        f"-n {wire.router} link add p0 master br1 type veth peer name v0 address {mac} netns {wire.guest}",
        f"-n {wire.router} link set br1 up",
        f"-n {wire.router} link set p0 up",
        f"-n {wire.guest} link set v0 up",
    )
    wait_for_carrier(wire)


def wait_for_carrier(wire: Wire) -> None:
    """The kernel opens a bridge's port some time after its link is up, and drops frames until then."""
    deadline_s = time.monotonic() + WAIT_S
    for namespace, link, sign in (
        (wire.router, "p0", "state forwarding"),
        (wire.router, "br1", "state UP"),
        (wire.guest, "v0", "state UP"),
    ):
        while sign not in ip_output(f"-n {namespace} -d link show {link}"):
            assert time.monotonic() < deadline_s, f"{link} in {namespace}: no {sign!r}"
            time.sleep(0.01)


def delete_namespaces() -> None:
    for path in NETNS.glob(f"{PREFIX}*"):
        ip(f"netns del {path.name}")


@pytest.fixture
def make_wire() -> Iterator[Callable[[str], Wire]]:
    def make(name: str) -> Wire:
        wire = Wire(f"{PREFIX}{name}r", f"{PREFIX}{name}g")
        ip(f"netns add {wire.router}", f"netns add {wire.guest}")
        add_link(wire)
        return wire

    delete_namespaces()
    yield make
    delete_namespaces()


@pytest.fixture
def wire(make_wire: Callable[[str], Wire]) -> Wire:
    return make_wire("1")


@asynccontextmanager
async def serving(*resources: DhcpResource, limits: Limits | None = None) -> AsyncIterator[DhcpDriver]:
    driver = DhcpDriver(limits=limits)
    try:
        applied = await driver.apply(tuple(Create(new) for new in resources))
        assert applied.failures == {}
        assert await driver.observe() == frozenset(resources)
        yield driver
    finally:
        driver.close()


async def until(condition: Callable[[], T | None], what: str) -> T:
    """The first true value of `condition`, which is looked at again and again for WAIT_S."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        value = condition()
        if value:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {WAIT_S} s: {what}")


def count(driver: DhcpDriver, wire: Wire, outcome: Outcome) -> int:
    return driver.statistics()[wire.router, "br1"].outcomes.get(outcome, 0)


# Real clients. Each runs a script of ours, which writes down what it was told and sets the address, no more.


@dataclass
class Client:
    process: asyncio.subprocess.Process
    diary: Path

    def events(self) -> list[dict[str, str]]:
        """What the client told its script, oldest first."""
        if not self.diary.exists():
            return []
        blocks = self.diary.read_text().split("--\n")[:-1]
        return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]

    async def told(self, *names: str, times: int = 1) -> dict[str, str]:
        def last() -> dict[str, str] | None:
            found = [event for event in self.events() if event["event"] in names]
            return found[-1] if len(found) >= times else None

        try:
            return await until(last, f"{times} of {names}")
        except AssertionError as error:
            error.add_note("\n".join(str(event) for event in self.events()))
            raise


@asynccontextmanager
async def running(wire: Wire, folder: Path, *command: str, name: str) -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        "nsenter",
        f"--net={NETNS / wire.guest}",
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Client(process, folder / f"{name}.diary")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def write_script(folder: Path, name: str, event: str, address: str) -> str:
    script = folder / f"{name}.sh"
    diary = folder / f"{name}.diary"
    script.write_text(
        f"""#!/bin/sh
[ -z "{address}" ] || ip addr replace "{address}/24" dev "$interface"
{{ echo "event={event}"; env; echo "--"; }} >> {diary}
"""
    )
    script.chmod(0o755)
    return str(script)


def udhcpc(wire: Wire, folder: Path, *extra: str) -> AbstractAsyncContextManager[Client]:
    name = f"udhcpc-{wire.guest}"
    script = write_script(folder, name, "$1", "$ip")
    asked = [word for option in ("mtu", "ntpsrv", "hostname", "search") for word in ("-O", option)]
    return running(wire, folder, "udhcpc", "-f", "-i", "v0", "-s", script, *asked, *extra, name=name)


def dhclient(wire: Wire, folder: Path, *extra: str) -> AbstractAsyncContextManager[Client]:
    name = f"dhclient-{wire.guest}"
    script = write_script(folder, name, "$reason", "$new_ip_address")
    config = folder / f"{name}.conf"
    config.write_text(
        "request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name,"
        " interface-mtu, ntp-servers;\nretry 1; reboot 10; initial-interval 1;\n"
    )
    files = [word for kind in ("lf", "pf") for word in (f"-{kind}", str(folder / f"{name}.{kind}"))]
    command = ("dhclient", "-4", "-d", "-sf", script, "-cf", str(config), *files, *extra, "v0")
    return running(wire, folder, *command, name=name)


def test_udhcpc_is_told_exactly_what_the_program_says(wire: Wire, tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding), udhcpc(wire, tmp_path) as client:
            told = await client.told("bound")
            assert told["ip"] == "10.0.0.7"
            assert told["subnet"] == "255.255.255.0"
            assert told["mask"] == "24"
            assert told["broadcast"] == "10.0.0.255"
            assert told["router"] == told["serverid"] == "10.0.0.1"
            assert told["dns"] == "10.0.0.53 10.0.0.54"
            assert told["domain"] == "blue.example"
            assert told["hostname"] == "web"
            assert told["ntpsrv"] == "10.0.0.123"
            assert told["lease"] == "3600"
            assert told["mtu"] == "1442"

    asyncio.run(story())


def test_dhclient_is_told_exactly_what_the_program_says(wire: Wire, tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding), dhclient(wire, tmp_path) as client:
            told = await client.told("BOUND")
            assert told["new_ip_address"] == "10.0.0.7"
            assert told["new_subnet_mask"] == "255.255.255.0"
            assert told["new_broadcast_address"] == "10.0.0.255"
            assert told["new_routers"] == told["new_dhcp_server_identifier"] == "10.0.0.1"
            assert told["new_domain_name_servers"] == "10.0.0.53 10.0.0.54"
            assert told["new_domain_name"] == "blue.example"
            assert told["new_host_name"] == "web"
            assert told["new_ntp_servers"] == "10.0.0.123"
            assert told["new_dhcp_lease_time"] == "3600"
            assert told["new_dhcp_renewal_time"] == "1800"
            assert told["new_dhcp_rebinding_time"] == "3150"
            assert told["new_interface_mtu"] == "1442"

    asyncio.run(story())


def test_udhcpc_renews_by_unicast(wire: Wire, tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding) as driver, udhcpc(wire, tmp_path) as client:
            await client.told("bound")
            client.process.send_signal(signal.SIGUSR1)
            assert (await client.told("renew"))["ip"] == "10.0.0.7"
            assert count(driver, wire, Outcome.OFFERED) == 1, "renewed, not begun again"
            # udhcpc asks again when it is not listening yet by the time we answer.
            assert count(driver, wire, Outcome.ACKNOWLEDGED) >= 2

    asyncio.run(story())


def test_dhclient_renews_a_short_lease_and_hears_of_new_options(wire: Wire, tmp_path: Path) -> None:
    async def story() -> None:
        old = replace(wire.server, lease_time_s=4)
        new = replace(old, dns_servers=(GATEWAY,))
        async with serving(old, wire.binding) as driver, dhclient(wire, tmp_path) as client:
            await client.told("BOUND")
            assert (await driver.apply((Replace(old, new),))).failures == {}
            assert await driver.observe() == frozenset({new, wire.binding})
            assert (await client.told("RENEW", times=2))["new_domain_name_servers"] == "10.0.0.1"
            assert count(driver, wire, Outcome.OFFERED) == 1

    asyncio.run(story())


def test_a_client_that_comes_back_with_an_old_address_gets_its_new_one(wire: Wire, tmp_path: Path) -> None:
    async def story() -> None:
        moved = replace(wire.binding, address=IPv4Address("10.0.0.8"))
        async with serving(wire.server, wire.binding) as driver:
            async with dhclient(wire, tmp_path) as client:
                await client.told("BOUND")
                leases = tmp_path / f"dhclient-{wire.guest}.lf"
                await until(lambda: "fixed-address 10.0.0.7" in leases.read_text(), "the lease is on disk")
            async with dhclient(wire, tmp_path) as client:
                assert (await client.told("REBOOT"))["new_ip_address"] == "10.0.0.7"
            await driver.apply((Replace(wire.binding, moved),))
            async with dhclient(wire, tmp_path) as client:
                assert (await client.told("BOUND", times=2))["new_ip_address"] == "10.0.0.8"
            assert count(driver, wire, Outcome.REFUSED) == 1

    asyncio.run(story())


def test_two_networks_with_the_same_addresses_and_macs_do_not_know_of_each_other(
    make_wire: Callable[[str], Wire], tmp_path: Path
) -> None:
    async def story() -> None:
        red, blue = make_wire("red"), make_wire("blue")
        blue_server = replace(blue.server, domain_name="other.example", mtu_bytes=1300)
        async with (
            serving(red.server, red.binding, blue_server, blue.binding) as driver,
            udhcpc(red, tmp_path) as in_red,
            udhcpc(blue, tmp_path) as in_blue,
        ):
            told_red, told_blue = await in_red.told("bound"), await in_blue.told("bound")
            assert (told_red["ip"], told_red["domain"], told_red["mtu"]) == (
                "10.0.0.7",
                "blue.example",
                "1442",
            )
            assert (told_blue["ip"], told_blue["domain"], told_blue["mtu"]) == (
                "10.0.0.7",
                "other.example",
                "1300",
            )
            assert count(driver, red, Outcome.ACKNOWLEDGED) == count(driver, blue, Outcome.ACKNOWLEDGED) == 1

    asyncio.run(story())


def test_a_stranger_never_gets_a_lease(wire: Wire, tmp_path: Path) -> None:
    async def story() -> None:
        someone_else = replace(wire.binding, mac=STRANGER)
        async with (
            serving(wire.server, someone_else) as driver,
            udhcpc(wire, tmp_path, "-n", "-t", "3", "-T", "1") as client,
        ):
            async with asyncio.timeout(WAIT_S):
                assert await client.process.wait() == 1
            assert [event["event"] for event in client.events()] == ["deconfig", "leasefail"]
            statistics = driver.statistics()[wire.router, "br1"]
            assert statistics.outcomes == {Outcome.UNKNOWN_CLIENT: 3}

    asyncio.run(story())


# Frames by hand: what no honest client sends.


def discover(xid: int, *, source: Mac = MAC, chaddr: Mac = MAC) -> bytes:
    message = Message(
        op=codec.BOOT_REQUEST,
        xid=xid,
        chaddr=bytes.fromhex(chaddr.replace(":", "")),
        options=((codec.MESSAGE_TYPE, bytes((codec.DISCOVER,))),),
    )
    source_mac = bytes.fromhex(source.replace(":", ""))
    return codec.encode_frame(Frame(source_mac, b"\xff" * 6, codec.ANY, codec.EVERYONE, 68, 67, message))


def in_namespace(name: str, work: Callable[[], T]) -> T:
    with opened(name) as namespace, inside(namespace):
        return work()


def guest_socket(wire: Wire) -> socket.socket:
    """Sends and hears everything on the guest's interface."""

    def work() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        sock.bind(("v0", 0x0800))
        return sock

    return in_namespace(wire.guest, work)


async def next_reply(sock: socket.socket) -> Frame:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_S):
        while True:
            frame = codec.decode_frame(await loop.sock_recv(sock, 2048))
            if frame is not None and frame.message.op == codec.BOOT_REPLY:
                return frame


def test_a_spoofed_hardware_address_is_not_answered(wire: Wire) -> None:
    async def story() -> None:
        other = DhcpBinding(wire.router, "br1", STRANGER, IPv4Address("10.0.0.9"), "")
        async with serving(wire.server, wire.binding, other) as driver:
            with guest_socket(wire) as sock:
                sock.send(discover(1, chaddr=STRANGER))
                sock.send(discover(2, source=STRANGER, chaddr=MAC))
                sock.send(discover(3))
                reply = await next_reply(sock)
            assert reply.message.xid == 3, "answers come in order, so the first two got none"
            assert reply.message.yiaddr == MINE
            assert reply.destination_mac == reply.message.chaddr
            assert count(driver, wire, Outcome.SPOOFED) == 2

    asyncio.run(story())


def test_the_socket_wakes_up_for_whole_untagged_requests_only(wire: Wire) -> None:
    whole = discover(1)
    with_ip_options = whole[:14] + b"\x46" + whole[15:34] + b"\x01\x01\x01\x00" + whole[34:]
    others = {
        "to the client's port": whole[:36] + b"\x00\x44" + whole[38:],
        "a first fragment": whole[:20] + b"\x20\x00" + whole[22:],
        "a later fragment": whole[:20] + b"\x00\x10" + whole[22:],
        "TCP": whole[:23] + b"\x06" + whole[24:],
        "ARP": whole[:12] + b"\x08\x06" + whole[14:],
        "tagged": whole[:12] + b"\x81\x00\x00\x0a" + whole[12:],
        "67 where the port is without options": with_ip_options[:36]
        + b"\x00\x43"
        + with_ip_options[38:40]
        + b"\x00\x44"
        + with_ip_options[42:],
        "to another station": b"\x02\x57\x00\x00\x00\x55" + whole[6:],
    }

    async def story() -> None:
        async with serving(wire.server, wire.binding) as driver:
            with guest_socket(wire) as sock:
                for frame in others.values():
                    sock.send(frame)
                sock.send(discover(2))
                assert (await next_reply(sock)).message.xid == 2
            assert driver.statistics()[wire.router, "br1"].outcomes == {Outcome.OFFERED: 1}

    asyncio.run(story())


def test_noise_is_counted_and_harms_nobody(wire: Wire) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding) as driver:
            with guest_socket(wire) as sock:
                whole = discover(1)
                for at in (38, 278, 283):  # the UDP length, the cookie, the length of the message type
                    sock.send(whole[:at] + b"\xff" + whole[at + 1 :])
                sock.send(discover(2))
                assert (await next_reply(sock)).message.xid == 2
            assert driver.statistics()[wire.router, "br1"].outcomes == {
                Outcome.MALFORMED: 3,
                Outcome.OFFERED: 1,
            }

    asyncio.run(story())


def test_a_flood_in_one_network_leaves_time_for_the_others(make_wire: Callable[[str], Wire]) -> None:
    async def story() -> None:
        loud, quiet = make_wire("loud"), make_wire("quiet")
        limits = Limits(requests_per_s=50, reserve=40, requests_per_turn=8)
        async with serving(loud.server, loud.binding, quiet.server, quiet.binding, limits=limits) as driver:
            with guest_socket(loud) as flood, guest_socket(quiet) as sock:
                for xid in range(400):
                    flood.send(discover(xid))
                sock.send(discover(7))
                assert (await next_reply(sock)).message.xid == 7
            assert count(driver, loud, Outcome.OFFERED) <= 40 + 8
            assert count(driver, quiet, Outcome.OFFERED) == 1
            await until(lambda: driver.statistics()[loud.router, "br1"].throttled or None, "the loud one is held back")

    asyncio.run(story())


# What happens to the namespace and the link under the responder.


def test_what_is_not_there_is_said_for_the_server_and_its_bindings(wire: Wire) -> None:
    async def story() -> None:
        elsewhere = replace(wire.server, scope=f"{PREFIX}none")
        no_link = replace(wire.server, interface="br9")
        lost = replace(wire.binding, interface="br9")
        driver = DhcpDriver()
        try:
            resources = (elsewhere, no_link, wire.server, lost, wire.binding)
            applied = await driver.apply(tuple(Create(new) for new in resources))
            assert {key: failure.code for key, failure in applied.failures.items()} == {
                elsewhere.key: "NETNS_MISSING",
                no_link.key: "LINK_MISSING",
                lost.key: "LINK_MISSING",
            }
            assert await driver.observe() == frozenset({wire.server, wire.binding})
            assert await driver.observe(frozenset({elsewhere.scope})) == frozenset()
        finally:
            driver.close()

    asyncio.run(story())


def test_a_link_made_anew_shows_as_missing_and_is_served_again(wire: Wire) -> None:
    async def story() -> None:
        program = (wire.server, wire.binding)
        async with serving(*program) as driver:
            ip(f"-n {wire.router} link del br1", f"-n {wire.router} link del p0")
            add_link(wire)
            assert await driver.observe() == frozenset()
            assert (await driver.apply(tuple(Create(new) for new in program))).failures == {}
            assert await driver.observe() == frozenset(program)
            with guest_socket(wire) as sock:
                sock.send(discover(5))
                assert (await next_reply(sock)).message.xid == 5

    asyncio.run(story())


def test_a_link_that_was_only_down_goes_on_being_served(wire: Wire) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding) as driver:
            ip(f"-n {wire.router} link set br1 down")
            assert await driver.observe() == frozenset({wire.server, wire.binding})
            ip(f"-n {wire.router} link set br1 up")
            wait_for_carrier(wire)
            with guest_socket(wire) as sock:
                sock.send(discover(5))
                assert (await next_reply(sock)).message.xid == 5

    asyncio.run(story())


def test_a_namespace_made_anew_shows_as_missing_and_is_served_again(wire: Wire) -> None:
    async def story() -> None:
        program = (wire.server, wire.binding)
        async with serving(*program) as driver:
            ip(f"netns del {wire.router}", f"netns add {wire.router}")
            assert await driver.observe() == frozenset()
            await until(lambda: not has_link(wire.guest, "v0") or None, "the old namespace is gone")
            add_link(wire)
            assert (await driver.apply(tuple(Create(new) for new in program))).failures == {}
            with guest_socket(wire) as sock:
                sock.send(discover(5))
                assert (await next_reply(sock)).message.xid == 5

    asyncio.run(story())


def test_a_namespace_without_a_name_is_let_go_without_being_asked(wire: Wire) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding):
            ip(f"netns del {wire.router}")
            await until(lambda: not has_link(wire.guest, "v0") or None, "the other end of its veth is gone")

    asyncio.run(story())


def has_link(namespace: str, name: str) -> bool:
    return name in [found for _, found in in_namespace(namespace, socket.if_nameindex)]


def test_whatever_is_served_a_plan_leads_to_the_program(wire: Wire) -> None:
    guests = [
        DhcpBinding(wire.router, "br1", Mac(f"02:57:00:00:01:{n:02x}"), IPv4Address("10.0.0.100") + n, f"g{n}")
        for n in range(20)
    ]
    programs: list[frozenset[Resource]] = [
        frozenset({wire.server, wire.binding}),
        frozenset({wire.server, *guests}),
        frozenset({replace(wire.server, mtu_bytes=1300), *(replace(guest, hostname="x") for guest in guests[5:])}),
        frozenset(),
        frozenset({wire.server, *guests[:3]}),
    ]

    async def story() -> None:
        driver = DhcpDriver()
        try:
            for program in programs:
                plan = make_plan(desired=program, observed=await driver.observe())
                assert (await driver.apply(plan)).failures == {}
                assert await driver.observe() == program
        finally:
            driver.close()

    asyncio.run(story())


def test_deleting_stops_serving_and_closes_the_socket(wire: Wire) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding) as driver:
            while_serving = open_descriptors()
            plan = (Delete(wire.binding), Delete(wire.server))
            assert (await driver.apply(plan)).failures == {}
            assert await driver.observe() == frozenset()
            assert open_descriptors() == while_serving - 1
            assert (await driver.apply(plan)).failures == {}, "again: nothing to do"

    asyncio.run(story())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_binding_taken_away_is_not_answered_any_more(wire: Wire) -> None:
    async def story() -> None:
        async with serving(wire.server, wire.binding) as driver:
            with guest_socket(wire) as sock:
                sock.send(discover(1))
                assert (await next_reply(sock)).message.xid == 1
                await driver.apply((Delete(wire.binding),))
                assert await driver.observe() == frozenset({wire.server})
                sock.send(discover(2))
                await until(lambda: count(driver, wire, Outcome.UNKNOWN_CLIENT) or None, "it was heard")
                await driver.apply((Create(wire.binding),))
                sock.send(discover(3))
                assert (await next_reply(sock)).message.xid == 3

    asyncio.run(story())
