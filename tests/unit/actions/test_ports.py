from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any

import pytest
import pytest_asyncio

from weftwork.actions.nat import create_dnat
from weftwork.actions.network import Network
from weftwork.actions.ports import (
    attach_port,
    create_port,
    delete_port,
    detach_port,
    plug_port,
    set_security_groups,
    unplug_port,
)
from weftwork.actions.reads import get_port, list_dnats, list_ports
from weftwork.actions.security_groups import create_security_group
from weftwork.actions.subnets import create_subnet
from weftwork.actions.vpcs import create_vpc
from weftwork.base.addresses import Mac
from weftwork.model.port import Attachment, AttachmentKind
from weftwork.model.security_group import Protocol
from weftwork.testing.network_kit import BLUE, RED, content, leaks, network_on, refused


@pytest_asyncio.fixture(autouse=True)
async def two_vpcs(network: Network) -> AsyncIterator[None]:
    for owner in (RED, BLUE):
        await create_vpc(network, owner=owner, name="main", cidr=IPv4Network("10.1.0.0/16"))
    yield
    assert await leaks(network.store) == ()


async def test_a_port_has_its_address_and_mac_from_the_start(network: Network) -> None:
    first = await create_port(network, owner=RED, name="web")
    second = await create_port(network, owner=RED)

    assert [str(one) for one in first.value.addresses] == ["10.1.0.2"]
    assert [str(one) for one in second.value.addresses] == ["10.1.0.3"]
    assert (first.value.mac, second.value.mac) == ("02:57:00:00:00:00", "02:57:00:00:00:01")
    assert first.value.groups == ("default",)
    assert first.value.attachment is None
    assert await get_port(network, owner=RED, port="web") == first
    assert await get_port(network, owner=RED, port=first.value.id.upper()) == first
    assert await get_port(network, owner=RED, port="red/web/web") == first


async def test_a_freed_address_rests_until_the_others_were_given(network: Network) -> None:
    await create_subnet(network, owner=RED, name="small", cidr=IPv4Network("10.1.9.0/29"), dhcp_enabled=True)
    ports = [(await create_port(network, owner=RED, subnet="small")).value for _ in range(3)]
    await delete_port(network, owner=RED, port=ports[0].id, cascade=False)

    given = [(await create_port(network, owner=RED, subnet="small")).value.addresses[0] for _ in range(3)]

    assert [str(one) for one in given] == ["10.1.9.5", "10.1.9.6", "10.1.9.2"]
    async with refused(network, "SUBNET_EXHAUSTED", "'small'"):
        await create_port(network, owner=RED, subnet="small")


async def test_the_smallest_subnet_has_one_port(network: Network) -> None:
    await create_subnet(network, owner=RED, name="p2p", cidr=IPv4Network("10.1.9.4/30"), dhcp_enabled=True)

    assert str((await create_port(network, owner=RED, subnet="p2p")).value.addresses[0]) == "10.1.9.6"
    async with refused(network, "SUBNET_EXHAUSTED"):
        await create_port(network, owner=RED, subnet="p2p")


async def test_tenants_have_the_same_addresses_and_macs_side_by_side(network: Network) -> None:
    red = (await create_port(network, owner=RED, name="a")).value
    blue = (await create_port(network, owner=BLUE, name="a")).value

    assert (red.addresses, red.mac, red.name) == (blue.addresses, blue.mac, blue.name)
    assert red.id != blue.id


async def test_creating_it_again_by_name_gives_the_one_that_is_there(network: Network) -> None:
    first = await create_port(network, owner=RED, name="a", vm="vm1", address=IPv4Address("10.1.0.9"))
    await create_security_group(network, owner=RED, name="g")

    assert await create_port(network, owner=RED, name="a") == first
    assert await create_port(network, owner=RED, name="a", vm="vm1", mac=first.value.mac) == first
    async with refused(network, "PORT_ALREADY_EXISTS", "vm1", "vm2", "10.1.0.9", "10.1.0.8", "groups are default"):
        await create_port(
            network, owner=RED, name="a", vm="vm2", address=IPv4Address("10.1.0.8"), groups=("g", "default")
        )


async def test_a_port_for_a_vm_is_attached_at_once(network: Network) -> None:
    assert (await create_port(network, owner=RED, vm="vm1")).value.attachment == Attachment(AttachmentKind.TAP)


@pytest.mark.parametrize(
    ("field", "value", "code", "word"),
    [
        ("subnet", "absent", "SUBNET_NOT_FOUND", "absent"),
        ("subnet", "blue/web/default", "SUBNET_NOT_FOUND", "blue"),
        ("groups", ("absent",), "SECURITY_GROUP_NOT_FOUND", "absent"),
        ("groups", ("blue/web/default",), "SECURITY_GROUP_NOT_FOUND", "blue"),
        ("name", "No", "INVALID_NAME", "No"),
        ("name", "6b8b4567-327b-43c6-9869-66334873b0dc", "INVALID_NAME", "form of an id"),
        ("vm", "x" * 129, "FIELD_TOO_LONG", "128"),
        ("vm", "a\nb", "INVALID_ARGUMENT", "printed"),
        ("vm", "\ud800", "INVALID_ARGUMENT", "printed"),
        ("mac", Mac("02:47:00:00:00:01"), "MAC_RESERVED", "02:47"),
        ("mac", Mac("01:00:5e:00:00:01"), "INVALID_MAC", "unicast"),
        ("mac", Mac("02:57:00:00:0A:01"), "INVALID_MAC", "02:57:00:00:0a:01"),
        ("mac", Mac("gibberish"), "INVALID_MAC", "gibberish"),
        ("address", ip_address("10.1.1.2"), "IP_OUTSIDE_SUBNET", "10.1.0.0/24"),
        ("address", ip_address("10.1.0.0"), "IP_RESERVED", "network"),
        ("address", ip_address("10.1.0.1"), "IP_RESERVED", "gateway"),
        ("address", ip_address("10.1.0.255"), "IP_RESERVED", "broadcast"),
        ("address", ip_address("10.1.0.77"), "IP_ALREADY_ALLOCATED", "port taken"),
        ("address", ip_address("fd00::1"), "IPV6_NOT_SUPPORTED", "fd00::1"),
        ("mac", Mac("02:57:77:00:00:00"), "MAC_ALREADY_USED", "port taken"),
    ],
)
async def test_bad_fields(network: Network, field: str, value: object, code: str, word: str) -> None:
    await create_port(network, owner=RED, name="taken", mac=Mac("02:57:77:00:00:00"), address=IPv4Address("10.1.0.77"))
    arguments: dict[str, Any] = {field: value}
    async with refused(network, code, word):
        await create_port(network, owner=RED, **arguments)


async def test_a_project_without_a_vpc_has_no_ports(network: Network) -> None:
    nobody = type(RED)("green", "web")
    async with refused(network, "VPC_NOT_FOUND", "green/web"):
        await create_port(network, owner=nobody)
    assert (await list_ports(network, owner=nobody)).items == ()


async def test_groups_are_sorted_and_merged_and_at_most_sixteen(network: Network) -> None:
    for number in range(16):
        await create_security_group(network, owner=RED, name=f"g{number:02}")
    made = await create_port(network, owner=RED, name="a", groups=("g02", "red/web/g01", "g02", "g01"))
    assert made.value.groups == ("g01", "g02")

    everything = tuple(f"g{number:02}" for number in range(16))
    assert (await set_security_groups(network, owner=RED, port="a", groups=everything)).value.groups == everything
    async with refused(network, "TOO_MANY_SECURITY_GROUPS", "17"):
        await set_security_groups(network, owner=RED, port="a", groups=(*everything, "default"))
    assert (await set_security_groups(network, owner=RED, port="a", groups=())).value.groups == ()


async def test_attaching_is_for_one_vm_at_a_time(network: Network) -> None:
    await create_port(network, owner=RED, name="a")
    first = await attach_port(network, owner=RED, port="a", vm="vm1")

    assert await attach_port(network, owner=RED, port="a", vm="vm1") == first
    async with refused(network, "PORT_ALREADY_ATTACHED", "vm1"):
        await attach_port(network, owner=RED, port="a", vm="vm2")
    async with refused(network, "PORT_ALREADY_ATTACHED", "vm1"):
        await plug_port(network, owner=RED, port="a", netns="guest")
    async with refused(network, "PORT_ATTACHED_OTHERWISE", "vm1"):
        await unplug_port(network, owner=RED, port="a")
    async with refused(network, "MISSING_FIELD"):
        await attach_port(network, owner=RED, port="a", vm="")
    freed = await detach_port(network, owner=RED, port="a")
    assert (freed.value.vm, freed.value.attachment) == ("", None)
    assert await detach_port(network, owner=RED, port="a") == freed


async def test_plugging_is_into_one_place_that_nobody_else_has(network: Network) -> None:
    await create_port(network, owner=RED, name="a")
    await create_port(network, owner=BLUE, name="b")
    first = await plug_port(network, owner=RED, port="a", netns="guest", interface="eth0")

    assert first.value.attachment == Attachment(AttachmentKind.NETNS, "guest", "eth0")
    assert first.value.vm == ""
    assert await plug_port(network, owner=RED, port="a", netns="guest") == first
    async with refused(network, "PORT_ALREADY_ATTACHED", "guest"):
        await plug_port(network, owner=RED, port="a", netns="other")
    async with refused(network, "PORT_ALREADY_ATTACHED", "guest"):
        await attach_port(network, owner=RED, port="a", vm="vm1")
    async with refused(network, "PORT_ATTACHED_OTHERWISE", "guest"):
        await detach_port(network, owner=RED, port="a")
    async with refused(network, "INTERFACE_IN_USE", "guest"):
        await plug_port(network, owner=BLUE, port="b", netns="guest", interface="eth0")
    await plug_port(network, owner=BLUE, port="b", netns="guest", interface="eth1")
    freed = await unplug_port(network, owner=RED, port="a")
    assert await unplug_port(network, owner=RED, port="a") == freed
    await plug_port(network, owner=RED, port="a", netns="guest", interface="eth0")


@pytest.mark.parametrize("netns", ["", "a/b", "..", "weft-1001", "x" * 65, "a b", "é"])
async def test_names_that_are_no_namespace_for_guests(network: Network, netns: str) -> None:
    await create_port(network, owner=RED, name="a")
    async with refused(network, "INVALID_NETNS"):
        await plug_port(network, owner=RED, port="a", netns=netns)


@pytest.mark.parametrize("interface", ["x" * 16, "a b", "a/b", "lo", "all", "default", "a:1", "."])
async def test_names_that_are_no_interface(network: Network, interface: str) -> None:
    await create_port(network, owner=RED, name="a")
    async with refused(network, "INVALID_INTERFACE"):
        await plug_port(network, owner=RED, port="a", netns="guest", interface=interface)


async def test_a_port_that_a_dnat_points_at_goes_only_together_with_it(network: Network) -> None:
    port = (await create_port(network, owner=RED, name="a")).value
    for number in (80, 443):
        await create_dnat(
            network,
            owner=RED,
            external_ip=None,
            external_port=number,
            protocol=Protocol.TCP,
            internal_ip=port.addresses[0],
        )

    async with refused(network, "IN_USE", "198.51.100.2:80/tcp", "198.51.100.2:443/tcp"):
        await delete_port(network, owner=RED, port="a", cascade=False)
    await delete_port(network, owner=RED, port="a", cascade=True)

    assert (await list_dnats(network, owner=RED)).items == ()
    assert network.view.external == {}


async def test_another_tenants_port_is_not_found(network: Network) -> None:
    secret = (await create_port(network, owner=BLUE, name="secret")).value
    for text in ("secret", secret.id, f"blue/web/{secret.id}", ""):
        for call in (get_port, detach_port, unplug_port):
            async with refused(network, "PORT_NOT_FOUND"):
                await call(network, owner=RED, port=text)
        async with refused(network, "PORT_NOT_FOUND"):
            await delete_port(network, owner=RED, port=text, cascade=True)


async def test_macs_are_never_given_twice_not_even_after_a_restart(network: Network) -> None:
    first = (await create_port(network, owner=RED)).value
    await delete_port(network, owner=RED, port=first.id, cascade=False)
    second = (await create_port(network, owner=RED)).value
    async with network_on(network.store) as restarted:
        third = (await create_port(restarted, owner=RED)).value

    assert [first.mac, second.mac, third.mac] == ["02:57:00:00:00:00", "02:57:00:00:00:01", "02:57:00:00:04:00"]


async def test_a_generated_mac_avoids_one_that_a_tenant_chose(network: Network) -> None:
    await create_port(network, owner=RED, mac=Mac("02:57:00:00:00:00"))

    assert (await create_port(network, owner=RED)).value.mac == "02:57:00:00:00:01"


async def test_pages_of_ports_hold_each_once(network: Network) -> None:
    await create_subnet(network, owner=RED, name="data", cidr=None, dhcp_enabled=True)
    made = [(await create_port(network, owner=RED, subnet=("default", "data")[n % 2])).value.id for n in range(7)]

    listed: list[str] = []
    token = ""
    while True:
        page = await list_ports(network, owner=RED, page_size=3, page_token=token)
        listed += [one.value.id for one in page.items]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(made)
    assert len((await list_ports(network, owner=RED, subnet="data")).items) == 3


async def test_a_rehearsal_tells_what_would_be_written_and_writes_nothing(network: Network) -> None:
    before = await content(network.store)
    dry = network.dry()
    planned = await create_port(dry, owner=RED, name="a")

    assert await content(network.store) == before
    assert f"/networks/ports/red/web/{planned.value.id}" in {write.key for write in dry.writes}
    async with refused(network, "IP_RESERVED"):
        await create_port(network.dry(), owner=RED, address=IPv4Address("10.1.0.1"))

    real = await create_port(network, owner=RED, name="a")
    assert (real.value.mac, real.value.addresses) == (planned.value.mac, planned.value.addresses)
