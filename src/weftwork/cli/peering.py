"""`weft peering`: two VPCs that route to each other. Each project makes its own half."""

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.document import document
from weftwork.cli.listing import listing, watched_listing
from weftwork.cli.nouns import PEERING, PEERING_OFFER
from weftwork.cli.options import How, mutating, named, removing
from weftwork.cli.output import print_list, print_one
from weftwork.cli.session import connected


@click.group(cls=Group)
def peering() -> None:
    """Another project's VPC that this one's guests reach, once both projects have said so."""


@peering.command(
    examples=(
        "weft peering create acme/backend",
        "weft peering create acme/backend --name backend",
        "weft peering create acme/backend --dry-run",
    )
)
@click.argument("peer", metavar="ORG/PROJECT")
@click.option("--name", default="", help="The peer's project if not given.")
@mutating
async def create(peer: str, name: str, how: How) -> None:
    """Make this project's half: an offer, or the answer to one. Security groups still decide what passes."""
    async with connected() as session:
        await change(session, PEERING, session.client.create_peering(session.project, peer, name=name), how)


@peering.command("list", examples=("weft peering list", "weft peering list -o json", "weft -P acme/shop peering list"))
@watched_listing(PEERING)
async def list_peerings() -> None:
    """List the project's own halves."""
    async with connected() as session:
        print_list(PEERING, await session.list(PEERING))


@peering.command(examples=("weft peering offers", "weft peering offers -o json", "weft peering offers -o name"))
@listing(PEERING_OFFER.columns)
async def offers() -> None:
    """List the halves that other projects made towards this one."""
    async with connected() as session:
        found = [document(one) async for one in session.client.list_peering_offers(session.project)]
        print_list(PEERING_OFFER, found)


@peering.command(
    examples=("weft peering show backend", "weft peering show acme/backend", "weft peering show backend -o json")
)
@named(PEERING)
async def show(name: str) -> None:
    """Show a peering, by its name or its peer, and its conditions."""
    async with connected() as session:
        print_one(PEERING, await session.get(PEERING, name))


@peering.command(
    examples=(
        "weft peering delete backend",
        "weft peering delete acme/backend --cascade",
        "weft peering delete backend --dry-run",
    )
)
@named(PEERING)
@removing
@mutating
async def delete(name: str, cascade: bool, yes: bool, how: How) -> None:
    """Take this project's half back; what passes between the two VPCs ends."""
    async with connected() as session:
        found = await session.get(PEERING, name)
        mutation = session.client.delete_peering(session.project, found["peer"], cascade=cascade)
        await remove(session, PEERING, found, mutation, how, cascade=cascade, ask=not yes)
