"""`weft nic`: guests' interfaces in the stacks of this host."""

from typing import Any

import click

from weftwork.cli.at_host import asked, at_host
from weftwork.cli.command import Group
from weftwork.cli.document import Document, fields_of
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import note

_COLUMNS = (
    Column("NIC", field("id")),
    Column("STACK", field("vpc_id")),
    Column("STATUS", field("status")),
    Column("VLAN", field("vlan")),
    Column("MAC", field("hwaddr")),
    Column("ADDRESSES", lambda one: ",".join(one["ip"]) or "-"),
    Column("DEVICE", field("name")),
    Column("NETNS", field("netns")),
    Column("UNDERLAY", lambda one: one["underlay"] or "-", wide=True),
    Column("INDEX", field("index"), wide=True),
    Column("FAILURE", lambda one: one["failure"] or "-", wide=True),
)


@click.group(cls=Group)
def nic() -> None:
    """Guests' interfaces in the stacks of this host."""


_stack = click.argument("vpc_id", type=int, metavar="STACK")
_id = click.argument("id")
_addresses = click.option(
    "--ip", multiple=True, metavar="ADDRESS", help="Its address; DHCP gives the first. Repeatable."
)


@nic.command(
    examples=(
        "weft nic add 7 web1 --vlan 5 --ip 10.4.0.10",
        "weft nic add 7 web1 --vlan 5 --ip 10.4.0.10 --ip 10.4.0.11 --netns web1",
        "weft nic add 7 db1 --vlan 5 --ip 10.4.0.20 --mac 02:56:00:00:00:20 --underlay 192.0.2.12",
    )
)
@_stack
@_id
@click.option("--vlan", type=int, required=True, help="The subnet's, 1 to 4094.")
@_addresses
@click.option("--mac", default="", help="The guest's; chosen if not given.")
@click.option("--netns", default="", help="Put it into this network namespace, instead of making a TAP.")
@click.option("--interface", default="", help="What it is called there.  [default: eth0]")
@click.option("--underlay", default="", metavar="ADDRESS", help="The guest is on the host with this underlay address.")
@click.option("--vni", type=int, default=0, help="What its VLAN is called on the wire.  [default: the stack's number]")
@at_host
async def add(id: str, vpc_id: int, vlan: int, ip: tuple[str, ...], mac: str, agent: str, **place: Any) -> None:
    """Make a NIC: a TAP for a VMM, or the interface of a network namespace."""
    async with asked(agent) as host:
        _print(fields_of(await host.add_nic(vpc_id, id, vlan, ip=ip, manual_hwaddr=mac, **place)))


@nic.command(
    examples=(
        "weft nic adopt 7 vm3 --vlan 5 --mac 02:56:00:00:00:03 --ip 10.4.0.3",
        "weft nic adopt 7 vm3 --vlan 5 --mac 02:56:00:00:00:03 --link vnet3",
        "weft nic adopt 7 vm3 --vlan 6 --mac 02:56:00:00:00:03 --link tap9 --ip 10.4.1.3",
    )
)
@_stack
@_id
@click.option("--vlan", type=int, required=True, help="The subnet's, 1 to 4094.")
@click.option("--mac", required=True, help="The guest's behind the link.")
@click.option("--link", default="", help="The host's link.  [default: n-ID]")
@_addresses
@at_host
async def adopt(id: str, vpc_id: int, vlan: int, mac: str, link: str, ip: tuple[str, ...], agent: str) -> None:
    """Take in a link that the host has. When the NIC is deleted, the host has it back under its name."""
    async with asked(agent) as host:
        made = await host.add_nic(vpc_id, id, vlan, ip=ip, manual_hwaddr=mac, manually_added=True, link=link)
    _print(fields_of(made))


@nic.command(
    examples=(
        "weft nic update 7 web1 --ip 10.4.0.10 --ip 10.4.0.12",
        "weft nic update 7 web1 --vlan 6 --ip 10.4.1.10",
        "weft nic update 7 db1 --underlay 192.0.2.13 --ip 10.4.0.20",
    )
)
@_stack
@_id
@_addresses
@click.option("--vlan", type=int, default=0, help="Another VLAN.")
@click.option("--netns", default="", help="Another network namespace.")
@click.option("--underlay", default="", metavar="ADDRESS", help="It is on another host now.")
@at_host
async def update(id: str, vpc_id: int, ip: tuple[str, ...], vlan: int, agent: str, **place: Any) -> None:
    """Change a NIC. Its addresses are exactly those that are named; its MAC stays."""
    async with asked(agent) as host:
        _print(fields_of(await host.update_nic(vpc_id, id, ip=ip, subnet_vlan_id=vlan, **place)))


@nic.command("list", examples=("weft nic list 7", "weft nic list 7 -o wide", "weft nic list 7 -o json"))
@_stack
@at_host
async def list_nics(vpc_id: int, agent: str) -> None:
    """List the NICs of a stack."""
    async with asked(agent) as host:
        found = [fields_of(one) for one in await host.list_nics(vpc_id)]
    print_rows("Nic", _COLUMNS, found, nothing="no NICs")


@nic.command(examples=("weft nic status 7 web1", "weft nic status 7 web1 -o json", "weft nic status 7 web1 -o wide"))
@_stack
@_id
@at_host
async def status(id: str, vpc_id: int, agent: str) -> None:
    """Show a NIC as the kernel has it now."""
    async with asked(agent) as host:
        _print(fields_of(await host.get_nic(vpc_id, id)))


@nic.command(
    examples=("weft nic delete 7 web1", "weft nic delete 7 vm3", "weft nic delete 7 web1 --agent 10.0.0.5:8084")
)
@_stack
@_id
@at_host
async def delete(id: str, vpc_id: int, agent: str) -> None:
    """Delete a NIC. A link that was adopted is the host's again."""
    async with asked(agent) as host:
        await host.delete_nic(vpc_id, id)
    note(f"NIC {id} of stack {vpc_id} is gone")


def _print(found: Document) -> None:
    if not is_text():
        print_data(found)
        return
    print_rows("Nic", _COLUMNS, [found], nothing="")
    if found["failure"]:
        note(found["failure"])
