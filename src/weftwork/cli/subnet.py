"""`weft subnet`: a range of addresses inside the VPC."""

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.document import document
from weftwork.cli.listing import listing, watched_listing
from weftwork.cli.nouns import SHARED_SUBNET, SUBNET, SUBNET_SHARE
from weftwork.cli.options import How, mutating, named, removing
from weftwork.cli.output import print_list, print_one
from weftwork.cli.session import connected


@click.group(cls=Group)
def subnet() -> None:
    """A range of addresses inside the project's VPC, with its gateway and DHCP."""


@subnet.command(
    examples=(
        "weft subnet create back",
        "weft subnet create back --cidr 10.20.1.0/24 --dns 10.20.1.53 --domain shop.example",
        "weft subnet create quiet --no-dhcp --dry-run",
    )
)
@click.argument("name")
@click.option("--cidr", default="", help="Its addresses, inside the VPC's; the next free /24 if not given.")
@click.option("--dhcp/--no-dhcp", default=True, help="Answer DHCP.  [default: dhcp]")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="A name server for its guests. Repeatable.")
@click.option("--domain", default="", help="The domain of its guests.")
@click.option("--ntp", multiple=True, metavar="ADDRESS", help="A time server for its guests. Repeatable.")
@click.option(
    "--lease-time",
    type=click.IntRange(60, 365 * 86400),
    metavar="SECONDS",
    help="How long a DHCP lease is.  [default: 86400]",
)
@mutating
async def create(
    name: str,
    cidr: str,
    dhcp: bool,
    dns: tuple[str, ...],
    domain: str,
    ntp: tuple[str, ...],
    lease_time: int | None,
    how: How,
) -> None:
    """Create a subnet."""
    async with connected() as session:
        mutation = session.client.create_subnet(
            session.project,
            name,
            cidr=cidr,
            dhcp_enabled=dhcp,
            dns_servers=dns,
            domain_name=domain,
            ntp_servers=ntp,
            lease_time_s=lease_time or 0,
        )
        await change(session, SUBNET, mutation, how)


@subnet.command("list", examples=("weft subnet list", "weft subnet list -o wide", "weft subnet list -o name"))
@watched_listing(SUBNET)
async def list_subnets() -> None:
    """List the project's subnets."""
    async with connected() as session:
        print_list(SUBNET, await session.list(SUBNET))


@subnet.command(
    examples=("weft subnet show default", "weft subnet show back -o json", "weft -P acme/shop subnet show back")
)
@named(SUBNET)
async def show(name: str) -> None:
    """Show a subnet and its conditions."""
    async with connected() as session:
        print_one(SUBNET, await session.get(SUBNET, name))


@subnet.command(
    examples=(
        "weft subnet update back --dns 10.20.1.53 --domain shop.example",
        "weft subnet update back --no-dns --lease-time 3600",
        "weft subnet update quiet --dhcp --dry-run",
    )
)
@named(SUBNET)
@click.option("--dhcp/--no-dhcp", default=None, help="Answer DHCP, or not.")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="These name servers for its guests. Repeatable.")
@click.option("--no-dns", is_flag=True, help="No name servers.")
@click.option("--domain", default=None, help="The domain of its guests; '' for none.")
@click.option("--ntp", multiple=True, metavar="ADDRESS", help="These time servers for its guests. Repeatable.")
@click.option("--no-ntp", is_flag=True, help="No time servers.")
@click.option("--lease-time", type=click.IntRange(60, 365 * 86400), metavar="SECONDS", help="How long a DHCP lease is.")
@mutating
async def update(
    name: str,
    dhcp: bool | None,
    dns: tuple[str, ...],
    no_dns: bool,
    domain: str | None,
    ntp: tuple[str, ...],
    no_ntp: bool,
    lease_time: int | None,
    how: How,
) -> None:
    """Change what DHCP tells. Guests hear of it with their next lease; a range cannot be changed."""
    dns_servers, ntp_servers = dns if dns or no_dns else None, ntp if ntp or no_ntp else None
    if (dhcp, dns_servers, domain, ntp_servers, lease_time) == (None,) * 5:
        raise click.UsageError("there is nothing to change: say what, such as --dns 10.20.1.53")
    async with connected() as session:
        mutation = session.client.update_subnet(
            session.project,
            name,
            dhcp_enabled=dhcp,
            dns_servers=dns_servers,
            domain_name=domain,
            ntp_servers=ntp_servers,
            lease_time_s=lease_time,
        )
        await change(session, SUBNET, mutation, how)


@subnet.command(
    examples=(
        "weft subnet delete back",
        "weft subnet delete back --cascade",
        "weft subnet delete back --cascade --dry-run",
    )
)
@named(SUBNET)
@removing
@mutating
async def delete(name: str, cascade: bool, yes: bool, how: How) -> None:
    """Delete a subnet."""
    async with connected() as session:
        found = await session.get(SUBNET, name)
        mutation = session.client.delete_subnet(session.project, found["id"], cascade=cascade)
        await remove(session, SUBNET, found, mutation, how, cascade=cascade, ask=not yes)


@subnet.command(
    examples=(
        "weft subnet share back acme/shop",
        "weft subnet share back acme/shop --dry-run",
        "weft -P acme/net subnet share back acme/shop",
    )
)
@named(SUBNET)
@click.argument("to", metavar="ORG/PROJECT")
@mutating
async def share(name: str, to: str, how: How) -> None:
    """Let another project have ports in a subnet. They obey that project's security groups."""
    async with connected() as session:
        await change(session, SUBNET_SHARE, session.client.share_subnet(session.project, name, to), how)


@subnet.command(
    examples=(
        "weft subnet unshare back acme/shop",
        "weft subnet unshare back acme/shop --dry-run",
        "weft -P acme/net subnet unshare back acme/shop",
    )
)
@named(SUBNET)
@click.argument("to", metavar="ORG/PROJECT")
@mutating
async def unshare(name: str, to: str, how: How) -> None:
    """Share a subnet no more. The other project's ports there have to be deleted first."""
    async with connected() as session:
        found = await session.find(SUBNET_SHARE, lambda one: SUBNET_SHARE.id(one) == f"{name}/{to}", f"{name}/{to}")
        mutation = session.client.unshare_subnet(session.project, name, to)
        await remove(session, SUBNET_SHARE, found, mutation, how)


@subnet.command(examples=("weft subnet shares", "weft subnet shares -o json", "weft subnet shares -o name"))
@watched_listing(SUBNET_SHARE)
async def shares() -> None:
    """List whom the project's subnets are shared with."""
    async with connected() as session:
        print_list(SUBNET_SHARE, await session.list(SUBNET_SHARE))


@subnet.command(examples=("weft subnet shared", "weft subnet shared -o json", "weft -P acme/shop subnet shared"))
@listing(SHARED_SUBNET.columns)
async def shared() -> None:
    """List other projects' subnets that this one may have ports in, by `weft port create --subnet ID`."""
    async with connected() as session:
        found = [document(one) async for one in session.client.list_shared_subnets(session.project)]
        print_list(SHARED_SUBNET, found)
