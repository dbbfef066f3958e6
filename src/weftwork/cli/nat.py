"""`weft snat` and `weft dnat`: the ways between a VPC and the external network."""

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.completion import complete_kind
from weftwork.cli.endpoints import External, Internal, parse_external, parse_internal
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import DNAT, PORT, SNAT
from weftwork.cli.options import How, Parsed, mutating
from weftwork.cli.output import print_list
from weftwork.cli.problems import ExitCode, Problem
from weftwork.cli.session import Session, connected


@click.group(cls=Group)
def snat() -> None:
    """The external address that the VPC's guests leave with. A VPC has at most one."""


@snat.command(
    examples=("weft snat create", "weft snat create --external 203.0.113.10", "weft snat create --disabled --dry-run")
)
@click.option("--external", default="", metavar="ADDRESS", help="The next free external address if not given.")
@click.option("--disabled", is_flag=True, help="Reserve the address, and let nobody out yet.")
@mutating
async def create(external: str, disabled: bool, how: How) -> None:
    """Let the VPC's guests out."""
    async with connected() as session:
        mutation = session.client.create_snat(session.project, external_ip=external, enabled=not disabled)
        await change(session, SNAT, mutation, how)


@snat.command("list", examples=("weft snat list", "weft snat list -o json", "weft -P acme/shop snat list"))
@watched_listing(SNAT)
async def list_snats() -> None:
    """List the project's SNAT."""
    async with connected() as session:
        print_list(SNAT, await session.list(SNAT))


@snat.command(examples=("weft snat delete", "weft snat delete --external 203.0.113.10", "weft snat delete --dry-run"))
@click.option("--external", default="", metavar="ADDRESS", help="Only if this is its address.")
@mutating
async def delete(external: str, how: How) -> None:
    """Let nobody out any more, and give the address back."""
    async with connected() as session:
        found = await session.find(SNAT, lambda one: external in ("", one["external_ip"]), external or "of this VPC")
        mutation = session.client.delete_snat(session.project, external_ip=found["external_ip"])
        await remove(session, SNAT, found, mutation, how)


@click.group(cls=Group)
def dnat() -> None:
    """An external address and port that lead to a guest."""


@dnat.command(
    "create",
    examples=(
        "weft dnat create --external 203.0.113.10:80/tcp --to web1:8080",
        "weft dnat create --external 443 --to 10.20.0.5",
        "weft dnat create --external 203.0.113.10:53/udp --to dns1 --dry-run",
    ),
)
@click.option(
    "--external",
    required=True,
    type=Parsed("end", parse_external),
    metavar="[ADDRESS:]PORT[/PROTOCOL]",
    help="Outside. Without an address: the SNAT's, or the next free one. Without a protocol: tcp.",
)
@click.option(
    "--to",
    required=True,
    type=Parsed("end", parse_internal),
    metavar="HOST[:PORT]",
    help="Inside: a port's name or id, or an address. Without a port number: the same as outside.",
    shell_complete=complete_kind("port"),
)
@mutating
async def create_dnat(external: External, to: Internal, how: How) -> None:
    """Let the outside reach a guest's port. The guest's security groups still decide who may."""
    async with connected() as session:
        mutation = session.client.create_dnat(
            session.project,
            external_ip=external.address,
            external_port=external.port,
            protocol=external.protocol,
            internal_ip=await _address(session, to),
            internal_port=to.port,
        )
        await change(session, DNAT, mutation, how)


@dnat.command("list", examples=("weft dnat list", "weft dnat list -o wide", "weft dnat list -o name"))
@watched_listing(DNAT)
async def list_dnats() -> None:
    """List the project's DNATs."""
    async with connected() as session:
        print_list(DNAT, await session.list(DNAT))


@dnat.command(
    "delete",
    examples=(
        "weft dnat delete 203.0.113.10:80/tcp",
        "weft dnat delete 203.0.113.10:80/tcp --no-wait",
        "weft dnat delete 203.0.113.10:53/udp --dry-run",
    ),
)
@click.argument(
    "external",
    type=Parsed("end", parse_external),
    metavar="ADDRESS:PORT/PROTOCOL",
    shell_complete=complete_kind("dnat"),
)
@mutating
async def delete_dnat(external: External, how: How) -> None:
    """Delete a DNAT; the flows through it end."""
    async with connected() as session:
        found = await session.find(DNAT, lambda one: DNAT.id(one) == external.id, str(external))
        mutation = session.client.delete_dnat(
            session.project,
            external_ip=external.address,
            external_port=external.port,
            protocol=external.protocol,
        )
        await remove(session, DNAT, found, mutation, how)


async def _address(session: Session, to: Internal) -> str:
    if to.is_address:
        return to.host
    address = (await session.get(PORT, to.host))["ip_address"]
    if not address:
        raise Problem(ExitCode.ERROR, "NO_ADDRESS", f"port {to.host} has no address")
    return str(address)
