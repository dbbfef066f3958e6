"""`weft vpc`: a project's network. A project has one."""

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.completion import complete_kind
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import VPC
from weftwork.cli.options import How, mutating, named, removing
from weftwork.cli.output import print_list, print_one
from weftwork.cli.session import connected
from weftwork.cli.settings import current


@click.group(cls=Group)
def vpc() -> None:
    """A project's isolated network. A project has one VPC."""


@vpc.command(
    examples=(
        "weft vpc create",
        "weft -P acme/shop vpc create --cidr 10.20.0.0/16",
        "weft -P acme/shop vpc create shop --dry-run",
    )
)
@click.argument("name", default="")
@click.option("--cidr", default="", help="Its addresses; the next free part of the server's pool if not given.")
@mutating
async def create(name: str, cidr: str, how: How) -> None:
    """Create the project's VPC, with the subnet and the security group `default`.

    NAME is a label; the project's name if not given.
    """
    async with connected() as session:
        mutation = session.client.create_vpc(session.project, name=name or session.project.project, cidr=cidr)
        await change(session, VPC, mutation, how)


@vpc.command("list", examples=("weft vpc list", "weft -P acme/shop vpc list", "weft vpc list -o json"))
@watched_listing(VPC)
async def list_vpcs() -> None:
    """List VPCs: the project's if one is given, else all."""
    async with connected() as session:
        org, project = session.project if current().project_given else ("", "")
        print_list(VPC, await session.list(VPC, org=org, project=project))


@vpc.command(examples=("weft vpc show", "weft vpc show acme/shop", "weft -P acme/shop vpc show -o yaml"))
@click.argument("vpc", default="", shell_complete=complete_kind("vpc"))
async def show(vpc: str) -> None:
    """Show a VPC: the project's, or the one of ORG/PROJECT."""
    async with connected() as session:
        print_one(VPC, await session.get_vpc(vpc))


@vpc.command(
    examples=(
        "weft vpc delete acme/shop",
        "weft vpc delete acme/shop --cascade",
        "weft vpc delete acme/shop --cascade --yes --no-wait",
    )
)
@named(VPC)
@removing
@mutating
async def delete(name: str, cascade: bool, yes: bool, how: How) -> None:
    """Delete a VPC. VPC is ORG/PROJECT or the name of the project's VPC."""
    async with connected() as session:
        found = await session.get_vpc(name)
        mutation = session.client.delete_vpc(found["id"], cascade=cascade)
        await remove(session, VPC, found, mutation, how, cascade=cascade, ask=not yes)
