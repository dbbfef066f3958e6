"""VMs and SSH keys: what is made with a VM goes with it, and nothing else does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
import pytest_asyncio

from weftwork.actions.history import list_revisions, rollback
from weftwork.actions.nat import create_dnat
from weftwork.actions.network import Network
from weftwork.actions.ports import attach_port, delete_port, detach_port, plug_port
from weftwork.actions.security_groups import add_rules, create_security_group, delete_security_group
from weftwork.actions.ssh_keys import create_ssh_key, delete_ssh_key
from weftwork.actions.subnets import create_subnet, delete_subnet
from weftwork.actions.vm_words import Nic, Wanted
from weftwork.actions.vms import create_vm, delete_vm, resize_vm, restart_vm, settle_image, start_vm, stop_vm
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.allocator.placement import Offer
from weftwork.base.addresses import Mac
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.model.vm import Flavour, Placement, Service, Vm
from weftwork.testing.network_kit import RED, leaks, refused

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDEr26m73SlLqH3cm1aj8fQ7xhFNDJw2fA0EmNlS0rNQ ann"
WEB = Wanted("web", "nginx", services=(Service("http", 80, "tcp"), Service("admin", 8080, "tcp", is_private=True)))


@pytest_asyncio.fixture(autouse=True)
async def vpc(network: Network) -> AsyncIterator[None]:
    await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/16"))
    yield
    assert await leaks(network.store) == ()


def intent(network: Network):  # type: ignore[no-untyped-def]
    return network.view.intent[RED]


async def test_a_vm_comes_with_its_ports_and_a_group_for_what_is_public_and_all_of_it_goes_with_it(
    network: Network,
) -> None:
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    nics = (Nic(), Nic("data", Mac("02:00:00:00:00:09"), IPv4Address("10.1.1.9")))
    vm = (await create_vm(network, owner=RED, wanted=replace(WEB, nics=nics))).value

    ports = [intent(network).ports[one] for one in vm.ports]
    assert [(one.subnet, one.vm, one.groups) for one in ports] == [
        ("default", vm.id, ("default", "vm-web")),
        ("data", vm.id, ("default", "vm-web")),
    ]
    assert ports[1].addresses == (IPv4Address("10.1.1.9"),) and ports[1].mac == "02:00:00:00:00:09"
    (rule,) = intent(network).groups["vm-web"].ingress
    assert (rule.protocol, rule.ports.min, rule.ports.max) == (Protocol.TCP, 80, 80)

    await stop_vm(network, owner=RED, vm="web")
    assert [intent(network).ports[one.id] for one in ports] == ports, "addresses stay while it is stopped"
    await delete_vm(network, owner=RED, vm=vm.id, cascade=False)
    assert not intent(network).ports and not intent(network).vms and "vm-web" not in intent(network).groups


async def test_its_ports_cannot_be_taken_from_it(network: Network) -> None:
    vm = (await create_vm(network, owner=RED, wanted=WEB)).value
    port = vm.ports[0]
    for taking in (
        lambda: delete_port(network, owner=RED, port=port, cascade=True),
        lambda: detach_port(network, owner=RED, port=port),
        lambda: attach_port(network, owner=RED, port=port, vm="other"),
        lambda: plug_port(network, owner=RED, port=port, netns="guest"),
    ):
        async with refused(network, "PORT_OF_VM", "web"):
            await taking()


async def test_what_depends_on_it_holds_it_until_a_cascade(network: Network) -> None:
    vm = (await create_vm(network, owner=RED, wanted=WEB)).value
    address = intent(network).ports[vm.ports[0]].addresses[0]
    await create_security_group(network, owner=RED, name="db", description="", ingress=(), egress=())
    await add_rules(network, owner=RED, group="db", ingress=(Rule(Protocol.TCP, None, GroupRef("vm-web")),))
    await create_dnat(
        network,
        owner=RED,
        external_ip=None,
        external_port=80,
        protocol=Protocol.TCP,
        internal_ip=address,
        internal_port=80,
    )
    async with refused(network, "IN_USE", "DNAT", "security group db"):
        await delete_vm(network, owner=RED, vm="web", cascade=False)

    await delete_vm(network, owner=RED, vm="web", cascade=True)
    assert not intent(network).dnats and intent(network).groups["db"].ingress == ()


async def test_a_subnet_and_a_vpc_take_their_vms_along_only_in_a_cascade(network: Network) -> None:
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    await create_vm(network, owner=RED, wanted=replace(WEB, nics=(Nic("data"), Nic())))
    async with refused(network, "IN_USE", "VM web"):
        await delete_subnet(network, owner=RED, subnet="data", cascade=False)
    await delete_subnet(network, owner=RED, subnet="data", cascade=True)
    assert not intent(network).vms and not intent(network).ports, "also its port in the other subnet"

    await create_vm(network, owner=RED, wanted=Wanted("other", "nginx"))
    async with refused(network, "IN_USE", "VM other"):
        await delete_vpc(network, owner=RED, cascade=False)
    await delete_vpc(network, owner=RED, cascade=True)
    assert RED not in network.view.intent


async def test_the_group_of_a_vm_is_held_by_it_and_left_by_it_in_a_cascade(network: Network) -> None:
    await create_vm(network, owner=RED, wanted=WEB)
    async with refused(network, "IN_USE", "VM web"):
        await delete_security_group(network, owner=RED, group="vm-web", cascade=False)
    await delete_security_group(network, owner=RED, group="vm-web", cascade=True)
    vm = intent(network).vms["web"]
    assert vm.group == "" and intent(network).ports[vm.ports[0]].groups == ("default",)
    await delete_vm(network, owner=RED, vm="web", cascade=False)


async def test_starting_counts_and_takes_the_keys_as_they_are_then(network: Network) -> None:
    await create_ssh_key(network, owner=RED, name="ann", public_key=KEY)
    vm = (await create_vm(network, owner=RED, wanted=WEB)).value
    assert (vm.is_started, vm.run, vm.authorized_keys) == (True, 1, (KEY,))

    await delete_ssh_key(network, owner=RED, ssh_key="ann")
    assert (await start_vm(network, owner=RED, vm="web")).value == vm, "it runs already"
    assert not (await stop_vm(network, owner=RED, vm="web")).value.is_started
    started = (await start_vm(network, owner=RED, vm="web")).value
    assert (started.run, started.authorized_keys) == (2, ())
    assert (await restart_vm(network, owner=RED, vm="web")).value.run == 3


async def test_only_a_stopped_vm_is_resized_and_no_disk_shrinks(network: Network) -> None:
    await create_vm(network, owner=RED, wanted=WEB)
    async with refused(network, "VM_NOT_STOPPED"):
        await resize_vm(network, owner=RED, vm="web", vcpus=2)
    await stop_vm(network, owner=RED, vm="web")
    async with refused(network, "INVALID_VM", "only grows"):
        await resize_vm(network, owner=RED, vm="web", disk_mib=100)
    resized = await resize_vm(network, owner=RED, vm="web", vcpus=2, disk_mib=4096)
    assert resized.value.flavour == Flavour(2, 512, 4096)


async def test_an_image_is_settled_once(network: Network) -> None:
    await create_vm(network, owner=RED, wanted=WEB)
    for digest in ("sha256:" + "a" * 64, "sha256:" + "b" * 64):
        settled = await settle_image(network, owner=RED, vm="web", digest=digest)
    assert settled.value.digest == "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (replace(WEB, name="Web"), "INVALID_NAME"),
        (replace(WEB, name="x" * 61), "INVALID_NAME"),
        (replace(WEB, image="no image"), "INVALID_IMAGE_REFERENCE"),
        (replace(WEB, flavour=Flavour(0)), "INVALID_VM"),
        (replace(WEB, flavour=Flavour(1, 64)), "INVALID_VM"),
        (replace(WEB, environment=(("a b", "c"),)), "INVALID_VM"),
        (replace(WEB, command=("x\0",)), "INVALID_VM"),
        (replace(WEB, services=(Service("a", 1, "tcp"), Service("a", 2, "tcp"))), "INVALID_VM"),
        (replace(WEB, placement=Placement(near=("web",))), "INVALID_VM"),
        (replace(WEB, placement=Placement(near=("ghost",))), "VM_NOT_FOUND"),
        (replace(WEB, nics=(Nic(address=IPv4Address("10.1.0.9")), Nic(address=IPv4Address("10.1.0.9")))), None),
        (replace(WEB, nics=(Nic("nowhere"),)), "SUBNET_NOT_FOUND"),
        (replace(WEB, ssh_keys=("nobody",)), "SSH_KEY_NOT_FOUND"),
    ],
)
async def test_a_vm_that_cannot_be_is_refused_and_nothing_of_it_is_kept(
    network: Network, wanted: Wanted, code: str | None
) -> None:
    async with refused(network, code or "IP_ALREADY_ALLOCATED"):
        await create_vm(network, owner=RED, wanted=wanted)


@pytest.mark.parametrize(
    "text",
    ["", "ssh-ed25519", "ssh-dss AAAA", KEY.replace("AAAAC3", "AAAAC4"), f"{KEY}\n{KEY}", "ssh-ed25519 AAAAC3Nz x"],
)
async def test_what_is_no_public_key_is_not_taken(network: Network, text: str) -> None:
    async with refused(network, "INVALID_SSH_KEY"):
        await create_ssh_key(network, owner=RED, name="ann", public_key=text)


async def test_a_second_vm_of_a_name_is_refused_and_a_second_key_only_if_it_differs(network: Network) -> None:
    await create_vm(network, owner=RED, wanted=WEB)
    async with refused(network, "VM_ALREADY_EXISTS"):
        await create_vm(network, owner=RED, wanted=WEB)
    first = await create_ssh_key(network, owner=RED, name="ann", public_key=KEY)
    assert await create_ssh_key(network, owner=RED, name="ann", public_key=f" {KEY}\n") == first
    async with refused(network, "SSH_KEY_ALREADY_EXISTS"):
        await create_ssh_key(network, owner=RED, name="ann", public_key=KEY.replace(" ann", " eve"))


async def test_what_does_not_fit_is_not_started_and_it_says_why(network: Network) -> None:
    machine = Offer("", "amd64", 1, 1024, {"disk": "ssd"})
    network.settings = replace(network.settings, machines=(machine,))
    await create_vm(network, owner=RED, wanted=Wanted("one", "nginx"))
    later = replace(WEB, flavour=Flavour(1, 1024), is_started=False)
    await create_vm(network, owner=RED, wanted=later)
    for wanted, why in (
        (Wanted("two", "nginx", Flavour(1, 1024)), "512 MiB of memory are left"),
        (Wanted("two", "nginx", Flavour(4, 256)), "3 vCPUs are left"),
        (Wanted("two", "nginx", placement=Placement((("disk", "hdd"),))), "disk=hdd"),
        (Wanted("two", "nginx", placement=Placement(apart_from=("one",))), "apart from"),
        (Wanted("two", "nginx", placement=Placement(architecture="arm64")), "it is amd64"),
    ):
        async with refused(network, "NO_HOST_FITS", why):
            await create_vm(network, owner=RED, wanted=wanted)
    async with refused(network, "NO_HOST_FITS"):
        await start_vm(network, owner=RED, vm="web")
    await stop_vm(network, owner=RED, vm="one")
    assert (await start_vm(network, owner=RED, vm="web")).value.is_started


async def test_a_rollback_brings_a_vm_back_with_its_address(network: Network) -> None:
    vm = (await create_vm(network, owner=RED, wanted=WEB)).value
    ports = [intent(network).ports[one] for one in vm.ports]
    made = (await list_revisions(network, owner=RED)).items[0].revision
    await delete_vm(network, owner=RED, vm="web", cascade=False)

    await rollback(network, owner=RED, revision=made)

    assert intent(network).vms["web"] == vm
    assert isinstance(vm, Vm) and [intent(network).ports[one] for one in vm.ports] == ports
