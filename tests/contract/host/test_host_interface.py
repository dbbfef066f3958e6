"""V's L2 and L3 services as a caller meets them: over the real socket, with a target in memory behind."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from weftwork.agent.host_loop import LoneAgent
from weftwork.agent.stacks import Ground, StackBook
from weftwork.agent.state import StateFolder
from weftwork.api.host.doors import MutualTls, serve_host
from weftwork.apps.host_interface import NAMING
from weftwork.base.errors import Failure
from weftwork.client import ApiError, Tls
from weftwork.client.host_networks import HostClient
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.stacks import StackCompiler
from weftwork.program.linux import PortLink, RemoteEntry, Route, Uplink, Vtep
from weftwork.program.resource import Resource
from weftwork.reconciler.reconciler import Pace
from weftwork.rpc.generated.vpc.l2 import l2_pb2 as l2
from weftwork.seams.stacks import LinkSeen, LinkState
from weftwork.testing.certificates import Authority
from weftwork.testing.memory_driver import MemoryDriver

UNDERLAY = IPv4Address("192.0.2.1")
PROFILE = HostProfile(underlay=UNDERLAY)
OPERATORS = {"n-vm1": "02:00:00:00:00:01", "eth9": "02:00:00:00:00:09", "virbr0": "02:00:00:00:00:0a"}
"""Links of the host that are not ours."""


class World:
    """A host in memory: what is on it, and how it is asked."""

    def __init__(self, folder: Path, driver: MemoryDriver) -> None:
        self.folder = folder
        self.driver = driver
        self.port = 0

    @property
    def socket(self) -> str:
        return f"unix:{self.folder}/agent.sock"

    def held(self, kind: type) -> list[Any]:
        return [one for one in self.driver.content.values() if isinstance(one, kind)]

    def links(self, netns: str, names: Iterable[str]) -> Mapping[str, LinkSeen]:
        there = {name: self.driver.content.get(("link", netns, name)) for name in names}
        return {name: LinkSeen(name, 5, LinkState.UP) for name, one in there.items() if one is not None}


@asynccontextmanager
async def running(
    folder: Path,
    driver: MemoryDriver,
    *,
    tls: MutualTls | None = None,
    underlay: IPv4Address | None = UNDERLAY,
    users: frozenset[int] = frozenset(),
) -> AsyncIterator[tuple[World, HostClient]]:
    world, state = World(folder, driver), StateFolder(folder)
    await asyncio.to_thread(state.prepare)
    agent = LoneAgent(driver, Pace(audit_s=60))
    ground = Ground(StackCompiler(PROFILE), NAMING, world.links, OPERATORS.get, underlay)
    book = StackBook(state, agent.loop.layers, agent.loop, ground)
    book.start()
    working = asyncio.create_task(agent.run())
    serving = await serve_host(book, socket=folder / "agent.sock", inner=folder / "inner.sock", users=users, tls=tls)
    world.port = serving.port
    try:
        async with HostClient(world.socket) as client:
            yield world, client
    finally:
        await serving.stop()
        working.cancel()


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[tuple[World, HostClient]]:
    async with running(tmp_path / "s", MemoryDriver()) as both:
        yield both


async def test_a_stack_is_made_shown_and_deleted_and_each_may_be_asked_for_again(
    host: tuple[World, HostClient],
) -> None:
    world, client = host
    first, again = await client.add_stack(7), await client.add_stack(7)
    assert (first.stack.vpc_id, first.stack.netns) == (7, "weft-l2-7")
    assert first == again
    await client.add_nic(7, "a", 5)

    shown = await client.get_stack(7)
    assert (shown.stack.bridge_link_name, shown.stack.bridge_link_index, list(shown.stack.vlans)) == ("br5", 5, [5])
    assert (await client.stack_status(7)).bridge == l2.UP
    assert [one.stack.vpc_id for one in await client.list_stacks()] == [7]

    await client.delete_nic(7, "a")
    await client.delete_stack(7)
    await client.delete_stack(7)
    assert world.driver.content == {}


async def test_a_nic_is_made_once_and_its_twin_is_refused(host: tuple[World, HostClient]) -> None:
    _, client = host
    await client.add_stack(7)
    made = await client.add_nic(7, "web1", 5, ip=["10.4.0.10", "10.4.0.11"])
    assert made.name.startswith("tap") and made.hwaddr.startswith("02:56:") and made.status == l2.UP

    assert await client.add_nic(7, "web1", 5, ip=["10.4.0.10", "10.4.0.11"]) == made
    assert await refused(client.add_nic(7, "web1", 6, ip=["10.4.0.10"])) == "NIC_ALREADY_EXISTS"
    assert (await client.nic_status(7, "web1")).status == l2.UP
    await client.delete_nic(7, "web1")
    await client.delete_nic(7, "web1")
    assert await refused(client.nic_status(7, "web1")) == "NIC_NOT_FOUND"


async def test_an_update_changes_what_is_named_and_keeps_the_mac(host: tuple[World, HostClient]) -> None:
    world, client = host
    await client.add_stack(7)
    made = await client.add_nic(7, "web1", 5, ip=["10.4.0.10"])

    changed = await client.update_nic(7, "web1", subnet_vlan_id=6, ip=["10.4.1.10"])

    assert (changed.hwaddr, changed.vlan, list(changed.ip)) == (made.hwaddr, 6, ["10.4.1.10"])
    (link,) = world.held(PortLink)
    assert link.bridge == "br6"
    assert await refused(client.update_nic(7, "web1", manual_hwaddr="02:56:00:00:00:77")) == "NIC_ALREADY_EXISTS"
    assert await refused(client.update_nic(7, "nobody")) == "NIC_NOT_FOUND"


async def test_two_stacks_hold_the_same_addresses_apart(host: tuple[World, HostClient]) -> None:
    world, client = host
    for vpc_id in (7, 8):
        await client.add_stack(vpc_id)
        await client.add_nic(vpc_id, "a", 5, ip=["10.4.0.10"], manual_hwaddr="02:56:00:00:00:01")
    assert {one.scope for one in world.held(PortLink)} == {"weft-l2-7", "weft-l2-8"}


async def test_a_nic_on_another_host_is_behind_a_vtep_with_the_number_that_was_agreed(
    host: tuple[World, HostClient],
) -> None:
    world, client = host
    await client.add_stack(7)
    await client.add_nic(7, "here", 5, ip=["10.4.0.10"])
    assert not world.held(Vtep)
    there = {"manual_hwaddr": "02:56:00:00:00:20", "underlay": "192.0.2.2"}
    await client.add_nic(7, "there", 5, ip=["10.4.0.20"], **there)

    (vtep,), (entry,) = world.held(Vtep), world.held(RemoteEntry)
    assert (vtep.vni, vtep.local, entry.mac, entry.host) == (7, UNDERLAY, "02:56:00:00:00:20", IPv4Address("192.0.2.2"))
    moved = await client.update_nic(7, "there", ip=["10.4.0.20"], underlay="192.0.2.3")
    assert moved.underlay == "192.0.2.3"
    assert (
        await refused(client.add_nic(7, "six", 6, manual_hwaddr="02:56:00:00:00:21", underlay="192.0.2.2"))
        == "VNI_TAKEN"
    )
    await client.add_nic(7, "six", 6, manual_hwaddr="02:56:00:00:00:21", underlay="192.0.2.2", vni=70)
    assert {one.vni for one in world.held(Vtep)} == {7, 70}
    await client.delete_nic(7, "there")
    await client.delete_nic(7, "six")
    assert not world.held(Vtep) and not world.held(RemoteEntry)


async def test_a_link_of_the_host_is_adopted_by_its_name_and_no_other_is(host: tuple[World, HostClient]) -> None:
    world, client = host
    await client.add_stack(7)
    made = await client.add_nic(7, "vm1", 5, manually_added=True, manual_hwaddr="02:56:00:00:00:01")
    assert made.adopted
    (link,) = world.held(PortLink)
    assert (link.kind.value, link.peer_name, link.mac) == ("adopted", "n-vm1", "02:56:00:00:00:01")

    adopt: dict[str, Any] = {"manually_added": True, "manual_hwaddr": "02:56:00:00:00:02"}
    assert await refused(client.add_nic(7, "vm2", 5, **adopt)) == "LINK_NOT_FOUND"
    assert await refused(client.add_nic(7, "vm2", 5, link="n-vm1", **adopt)) == "INTERFACE_IN_USE"
    assert await refused(client.add_nic(7, "vm2", 5, link="eth9", manually_added=True)) == "MISSING_FIELD"
    assert await refused(client.add_nic(7, "vm2", 5, link="eth9")) == "INVALID_ARGUMENT"


async def test_a_router_has_addresses_dhcp_nat_and_routes(host: tuple[World, HostClient]) -> None:
    world, client = host
    await client.add_stack(7)
    nat = {"bridge": "virbr0", "address": "192.0.2.10/24", "gateway": "192.0.2.1"}
    router = {"ip": ["10.4.0.1/24:5", "10.4.1.1/24:6"], "dhcp": True, "dhcpdns": ["1.1.1.1"], "nat": nat}
    made = await client.add_router(7, **router)
    assert await client.add_router(7, **router) == made
    assert await refused(client.add_router(7, ip=["10.4.0.1/24:5"])) == "ROUTER_ALREADY_EXISTS"
    assert (made.status.legs, made.status.outside) == (l2.UP, l2.UP)

    routed = await client.add_route(7, "198.51.100.0/24", "192.0.2.7")
    assert await client.add_route(7, "198.51.100.0/24", "192.0.2.7") == routed
    assert {str(one.destination) for one in world.held(Route)} == {"198.51.100.0/24", "0.0.0.0/0", "192.0.2.0/24"}
    (uplink,) = world.held(Uplink)
    assert (uplink.peer_scope, uplink.peer_bridge) == ("", "virbr0")
    await client.delete_route(7, "198.51.100.0/24")
    await client.delete_route(7, "198.51.100.0/24")
    assert len(world.held(Route)) == 2

    updated = await client.update_router(7, ip=["10.4.0.1/24:5"])
    assert list(updated.router.ip) == ["10.4.0.1/24:5"] and not updated.router.dhcp
    assert [one.router.vpc_id for one in await client.list_routers()] == [7]
    await client.delete_router(7)
    await client.delete_router(7)
    assert await refused(client.router_status(7)) == "ROUTER_NOT_FOUND"
    await client.delete_stack(7)
    assert world.driver.content == {}


Call = Callable[[HostClient], Any]
NIC: dict[str, Any] = {"ip": ["10.4.0.10"]}


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda host: host.add_stack(0), "VPC_ID_INVALID"),
        (lambda host: host.add_stack(-1), "VPC_ID_INVALID"),
        (lambda host: host.add_stack(1 << 24), "VPC_ID_INVALID"),
        (lambda host: host.get_stack(99), "STACK_NOT_FOUND"),
        (lambda host: host.list_nics(99), "STACK_NOT_FOUND"),
        (lambda host: host.add_nic(99, "a", 5), "STACK_NOT_FOUND"),
        (lambda host: host.add_router(99, ip=["10.4.0.1/24:5"]), "STACK_NOT_FOUND"),
        (lambda host: host.add_nic(7, "", 5), "INVALID_NAME"),
        (lambda host: host.add_nic(7, "../x", 5), "INVALID_NAME"),
        (lambda host: host.add_nic(7, "x" * 64, 5), "INVALID_NAME"),
        (lambda host: host.add_nic(7, "a", 0), "VLAN_INVALID"),
        (lambda host: host.add_nic(7, "a", 4095), "VLAN_INVALID"),
        (lambda host: host.add_nic(7, "a", 65536 + 5), "VLAN_INVALID"),
        (lambda host: host.add_nic(7, "a", 5, manual_hwaddr="ff:ff:ff:ff:ff:ff"), "INVALID_MAC"),
        (lambda host: host.add_nic(7, "a", 5, manual_hwaddr="junk"), "INVALID_MAC"),
        (lambda host: host.add_nic(7, "a", 5, manual_hwaddr="02:47:00:00:00:01"), "MAC_RESERVED"),
        (lambda host: host.add_nic(7, "a", 5, manual_hwaddr="02:56:00:00:00:01"), "MAC_ALREADY_USED"),
        (lambda host: host.add_nic(7, "a", 5, ip=["10.4.0.5"]), "IP_ALREADY_ALLOCATED"),
        (lambda host: host.add_nic(7, "a", 5, ip=["10.4.0.1"]), "IP_RESERVED"),
        (lambda host: host.add_nic(7, "a", 5, ip=["10.4.0.255"]), "IP_RESERVED"),
        (lambda host: host.add_nic(7, "a", 5, ip=["10.9.0.1"]), "IP_OUTSIDE_SUBNET"),
        (lambda host: host.add_nic(7, "a", 5, ip=["<nil>"]), "INVALID_ARGUMENT"),
        (lambda host: host.add_nic(7, "a", 5, ip=["fd00::1"]), "IPV6_NOT_SUPPORTED"),
        (lambda host: host.add_nic(7, "a", 6, ip=["224.0.0.1"]), "INVALID_ARGUMENT"),
        (lambda host: host.add_nic(7, "a", 6, ip=[f"10.8.0.{one}" for one in range(17)]), "INVALID_ARGUMENT"),
        (lambda host: host.add_nic(7, "a", 5, netns="../etc"), "INVALID_NETNS"),
        (lambda host: host.add_nic(7, "a", 5, netns="weft-1001"), "INVALID_NETNS"),
        (lambda host: host.add_nic(7, "a", 5, netns="g", interface="a/b"), "INVALID_INTERFACE"),
        (lambda host: host.add_nic(7, "a", 5, interface="eth0"), "INVALID_ARGUMENT"),
        (lambda host: host.add_nic(7, "a", 5, netns="g", underlay="192.0.2.2"), "INVALID_ARGUMENT"),
        (lambda host: host.add_nic(7, "a", 5, netns="guest"), "INTERFACE_IN_USE"),
        (lambda host: host.add_nic(7, "a", 5, underlay="192.0.2.2"), "MISSING_FIELD"),
        (
            lambda host: host.add_nic(7, "a", 5, underlay=str(UNDERLAY), manual_hwaddr="02:56:00:00:00:09"),
            "INVALID_ARGUMENT",
        ),
        (lambda host: host.update_router(8, ip=["10.4.0.1/24:5"]), "ROUTER_NOT_FOUND"),
        (lambda host: host.add_route(8, "198.51.100.0/24", "192.0.2.7"), "ROUTER_NOT_FOUND"),
        (lambda host: host.add_route(7, "198.51.100.0/24", "192.0.2.7"), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24"]), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.1:5"]), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.0/24:5"]), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:0"]), "VLAN_INVALID"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:5", "10.4.1.1/24:5"]), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:5", "10.4.0.129/25:6"]), "CIDR_OVERLAP"),
        (lambda host: host.update_router(7, ip=["10.5.0.1/24:5"]), "IP_OUTSIDE_SUBNET"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:5"], lease_time_s=1), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:5"], dhcpdns=["x"]), "INVALID_ARGUMENT"),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:5"], nat=NAT | {"bridge": "none0"}), "LINK_NOT_FOUND"),
        (
            lambda host: host.update_router(7, ip=["10.4.0.1/24:5"], nat=NAT | {"gateway": "10.4.0.9"}),
            "INVALID_ARGUMENT",
        ),
        (lambda host: host.update_router(7, ip=["10.4.0.1/24:5"], nat={}), "MISSING_FIELD"),
        (
            lambda host: host.update_router(7, ip=["10.4.0.1/24:5", "172.16.0.1/24:6"], nat=NAT),
            "ROUTER_RANGE_TOO_WIDE",
        ),
        (lambda host: host.delete_stack(7), "IN_USE"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_code_and_changes_nothing(
    host: tuple[World, HostClient], call: Call, code: str
) -> None:
    world, client = host
    for vpc_id in (7, 8):
        await client.add_stack(vpc_id)
    await client.add_router(7, ip=["10.4.0.1/24:5"])
    await client.add_nic(7, "there", 5, ip=["10.4.0.5"], manual_hwaddr="02:56:00:00:00:01", netns="guest")
    before, kept = dict(world.driver.content), (world.folder / "stacks").read_bytes()

    assert await refused(call(client)) == code

    assert world.driver.content == before
    assert (world.folder / "stacks").read_bytes() == kept


NAT = {"bridge": "virbr0", "address": "192.0.2.10/24", "gateway": "192.0.2.1"}


async def test_a_host_without_an_underlay_has_no_nics_elsewhere(tmp_path: Path) -> None:
    async with running(tmp_path / "s", MemoryDriver(), underlay=None) as (_, client):
        await client.add_stack(7)
        call = client.add_nic(7, "a", 5, manual_hwaddr="02:56:00:00:00:09", underlay="192.0.2.2")
        assert await refused(call) == "NO_UNDERLAY"


async def test_what_was_asked_is_there_after_a_restart_and_nothing_is_written_for_it(tmp_path: Path) -> None:
    driver = MemoryDriver()
    async with running(tmp_path / "s", driver) as (_, client):
        await client.add_stack(7)
        await client.add_router(7, ip=["10.4.0.1/24:5"], dhcp=True)
        nic = await client.add_nic(7, "a", 5, ip=["10.4.0.10"])
        router = await client.get_router(7)
    content, writes = dict(driver.content), driver.writes

    async with running(tmp_path / "s", driver) as (_, client):
        assert await client.get_nic(7, "a") == nic
        assert await client.add_nic(7, "a", 5, ip=["10.4.0.10"]) == nic
        assert await client.get_router(7) == router

    assert (driver.content, driver.writes) == (content, writes)


async def test_what_was_asked_and_cannot_be_read_any_more_is_left_alone(tmp_path: Path) -> None:
    driver = MemoryDriver()
    async with running(tmp_path / "s", driver) as (_, client):
        await client.add_stack(7)
    content = dict(driver.content)
    (tmp_path / "s" / "stacks").write_bytes(b"x" * 40)

    with pytest.raises(Failure, match="STATE_DAMAGED"):
        async with running(tmp_path / "s", driver):
            pass

    assert driver.content == content


async def test_what_does_not_work_is_told_kept_and_tried_on(tmp_path: Path) -> None:
    broken = True

    def fault(resource: Resource) -> Failure | None:
        return Failure("NETNS_MISSING", "there is no g1") if broken and isinstance(resource, PortLink) else None

    async with running(tmp_path / "s", MemoryDriver(fault)) as (_, client):
        await client.add_stack(7)
        assert await refused(client.add_nic(7, "a", 5, netns="g1")) == "NETNS_MISSING"
        assert "there is no g1" in (await client.nic_status(7, "a")).failure
        broken = False
        async with asyncio.timeout(10):
            while (await client.nic_status(7, "a")).failure:
                await asyncio.sleep(0.02)


async def test_who_watches_is_told_every_change_in_order(host: tuple[World, HostClient]) -> None:
    _, client = host
    async with aclosing(client.watch_stacks()) as watching:
        await anext(watching)
        await client.add_stack(7)
        await client.add_stack(7)
        await client.add_nic(7, "a", 5)
        await client.update_nic(7, "a", ip=["10.4.0.9"])
        await client.add_router(7, ip=["10.4.0.1/24:5"])
        await client.delete_nic(7, "a")
        await client.delete_stack(7, cascade=True)
        told = [await anext(watching) for _ in range(6)]
    actions = ["created", "nic_added", "nic_updated", "router_added", "nic_deleted", "deleted"]
    assert [one.action for one in told] == actions
    assert {one.vpc_id for one in told} == {7}


async def test_many_at_once_are_all_done_and_none_is_lost(host: tuple[World, HostClient], tmp_path: Path) -> None:
    world, client = host
    await client.add_stack(7)
    await asyncio.gather(*(client.add_nic(7, f"n{number}", 5, ip=[f"10.4.0.{number}"]) for number in range(2, 42)))
    assert len(await client.list_nics(7)) == len(world.held(PortLink)) == 40
    assert len({one.hwaddr for one in await client.list_nics(7)}) == 40


NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Which everybody may pass through, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


_KNOCK = """
import os, socket, sys
os.setuid(65534)
there = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
there.settimeout(10)
there.connect(sys.argv[1])
try:
    there.send(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\x00\\x00\\x00\\x04\\x00\\x00\\x00\\x00\\x00")
    print(len(there.recv(100)))
except OSError:
    print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("named", [False, True])
async def test_a_user_whom_nobody_named_is_sent_away_by_the_kernels_word(open_folder: Path, named: bool) -> None:
    users = frozenset({NOBODY}) if named else frozenset[int]()
    async with running(open_folder, MemoryDriver(), users=users) as (world, client):
        await client.list_stacks()
        said = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", _KNOCK, f"{world.folder}/agent.sock"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert bool(int(said.stdout)) == named, said.stderr
        await client.list_stacks()


async def test_from_elsewhere_only_with_a_certificate_of_the_right_authority(tmp_path: Path) -> None:
    ours, others = Authority(tmp_path), Authority(tmp_path, "others")
    own = ours.issue("localhost", "127.0.0.1")
    tls = MutualTls("127.0.0.1:0", own.certificate, own.key, ours.certificate)
    async with running(tmp_path / "s", MemoryDriver(), tls=tls) as (world, _), AsyncExitStack() as stack:
        target = f"localhost:{world.port}"

        async def listed(shown: Tls) -> Any:
            client = await stack.enter_async_context(HostClient(target, tls=shown, timeout_s=5))
            return await client.list_stacks()

        ca = ours.certificate.read_bytes()
        good, bad = ours.issue("controller"), others.issue("controller")
        assert not await listed(Tls(ca, good.certificate.read_bytes(), good.key.read_bytes()))
        for shown in (Tls(ca), Tls(ca, bad.certificate.read_bytes(), bad.key.read_bytes())):
            with pytest.raises(ApiError) as error:
                await listed(shown)
            assert error.value.code is grpc.StatusCode.UNAVAILABLE


async def refused(call: Any) -> str:
    with pytest.raises(ApiError) as error:
        await call
    return error.value.reason
