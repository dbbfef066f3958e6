"""`weft port`: a guest's interface."""

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.completion import complete_kind
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import PORT
from weftwork.cli.options import How, groups_option, mutating, named, removing, subnet_option
from weftwork.cli.output import print_list, print_one
from weftwork.cli.session import connected


@click.group(cls=Group)
def port() -> None:
    """A guest's interface: its address, its MAC and its security groups."""


@port.command(
    examples=(
        "weft port create web1",
        "weft port create web1 --subnet back --group web --group ssh --address 10.20.1.10",
        "weft port create web1 --vm 4f2c --no-wait",
    )
)
@click.argument("name", default="")
@subnet_option("Where it is.  [default: the subnet `default`]")
@groups_option(("--group", "-g"), "A security group. Repeatable.  [default: the group `default`]")
@click.option("--address", default="", help="Its address; chosen from the subnet if not given.")
@click.option("--mac", default="", help="Its MAC; chosen if not given.")
@click.option("--vm", default="", metavar="ID", help="Attach it to this VM at once.")
@mutating
async def create(name: str, subnet: str, groups: tuple[str, ...], address: str, mac: str, vm: str, how: How) -> None:
    """Create a port. Its address is chosen now, and DHCP gives exactly that one.

    NAME is optional; a port can always be named by its id.
    """
    async with connected() as session:
        mutation = session.client.create_port(
            session.project, name=name, subnet=subnet, vm=vm, mac=mac, ip=address, groups=groups
        )
        await change(session, PORT, mutation, how)


@port.command("list", examples=("weft port list", "weft port list --subnet back -o wide", "weft port list -o name"))
@watched_listing(PORT)
@subnet_option("Only the ports of this subnet.")
async def list_ports(subnet: str) -> None:
    """List the project's ports."""
    async with connected() as session:
        print_list(PORT, await session.list(PORT, subnet=subnet))


@port.command(examples=("weft port show web1", "weft port show web1 -o json", "weft -P acme/shop port show web1"))
@named(PORT)
async def show(name: str) -> None:
    """Show a port and its conditions."""
    async with connected() as session:
        print_one(PORT, await session.get(PORT, name))


@port.command(examples=("weft port delete web1", "weft port delete web1 --cascade", "weft port delete web1 --dry-run"))
@named(PORT)
@removing
@mutating
async def delete(name: str, cascade: bool, yes: bool, how: How) -> None:
    """Delete a port. With --cascade also the DNATs that lead to it."""
    async with connected() as session:
        found = await session.get(PORT, name)
        mutation = session.client.delete_port(session.project, found["id"], cascade=cascade)
        await remove(session, PORT, found, mutation, how, cascade=cascade, ask=not yes)


@port.command(
    examples=(
        "weft port attach web1 --vm 4f2c",
        "weft port attach web1 --vm 4f2c --host h2",
        "weft port attach web1 --vm 4f2c --dry-run",
    )
)
@named(PORT)
@click.option("--vm", required=True, metavar="ID", help="The VM.")
@click.option("--host", default="", help="A host of the fleet. A port that is attached on another one moves.")
@mutating
async def attach(name: str, vm: str, host: str, how: How) -> None:
    """Give a port to a VM: the host makes a TAP device for it."""
    async with connected() as session:
        await change(session, PORT, session.client.attach_port(session.project, name, vm, host=host), how)


@port.command(examples=("weft port detach web1", "weft port detach web1 --no-wait", "weft port detach web1 --dry-run"))
@named(PORT)
@mutating
async def detach(name: str, how: How) -> None:
    """Take a port from its VM. It keeps its address."""
    async with connected() as session:
        mutation = session.client.detach_port(session.project, name)
        await change(session, PORT, mutation, how, fetch=lambda: session.get(PORT, name))


@port.command(
    examples=(
        "weft port plug web1 --netns web1",
        "weft port plug web1 --netns web1 --host h2",
        "weft port plug web1 --netns web1 --dry-run",
    )
)
@named(PORT)
@click.option("--netns", required=True, help="The name of a network namespace of the host, as of `ip netns add`.")
@click.option("--interface", default="", help="What the interface is called in there.  [default: eth0]")
@click.option("--host", default="", help="A host of the fleet. A port that is plugged on another one moves.")
@mutating
async def plug(name: str, netns: str, interface: str, host: str, how: How) -> None:
    """Put a port into a network namespace, so that the namespace is the guest."""
    async with connected() as session:
        mutation = session.client.plug_port(session.project, name, netns, interface=interface, host=host)
        await change(session, PORT, mutation, how)


@port.command(examples=("weft port unplug web1", "weft port unplug web1 --no-wait", "weft port unplug web1 --dry-run"))
@named(PORT)
@mutating
async def unplug(name: str, how: How) -> None:
    """Take a port out of its network namespace. It keeps its address."""
    async with connected() as session:
        await change(session, PORT, session.client.unplug_port(session.project, name), how)


@port.command(
    "set-groups",
    examples=(
        "weft port set-groups web1 web ssh",
        "weft port set-groups web1 --none",
        "weft port set-groups web1 web --dry-run",
    ),
)
@named(PORT)
@click.argument("groups", nargs=-1, metavar="[GROUP]...", shell_complete=complete_kind("security-group"))
@click.option("--none", "no_groups", is_flag=True, help="No group: the port may neither send nor receive.")
@mutating
async def set_groups(name: str, groups: tuple[str, ...], no_groups: bool, how: How) -> None:
    """Replace the security groups of a port."""
    if bool(groups) == no_groups:
        raise click.UsageError("name the groups, or say --none")
    async with connected() as session:
        await change(session, PORT, session.client.set_security_groups(session.project, name, groups), how)
