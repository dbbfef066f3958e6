"""`weft router`: routers of the stacks of this host, with DHCP, NAT and routes."""

from typing import Any

import click

from weftwork.cli.at_host import asked, at_host
from weftwork.cli.command import Group
from weftwork.cli.document import Document, fields_of
from weftwork.cli.nouns import Column
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import note


def _nat(one: Document) -> str:
    nat = one["router"]["nat"]
    return f"{nat['address']} on {nat['bridge']} by {nat['gateway']}" if nat else "-"


_COLUMNS = (
    Column("STACK", lambda one: str(one["router"]["vpc_id"])),
    Column("LEGS", lambda one: one["status"]["legs"]),
    Column("ADDRESSES", lambda one: ",".join(one["router"]["ip"])),
    Column("DHCP", lambda one: "yes" if one["router"]["dhcp"] else "no"),
    Column("NAT", _nat),
    Column(
        "ROUTES",
        lambda one: ",".join(f"{to['destination']} by {to['gateway']}" for to in one["router"]["routes"]) or "-",
    ),
    Column("FAILURE", lambda one: one["status"]["failure"] or "-", wide=True),
)


@click.group(cls=Group)
def router() -> None:
    """Routers of the stacks of this host, with DHCP, NAT and routes."""


_stack = click.argument("vpc_id", type=int, metavar="STACK")


def _what(command: Any) -> Any:
    """All that a router is."""
    options = (
        click.option(
            "--ip", multiple=True, required=True, metavar="CIDR:VLAN", help="As in 10.4.0.1/24:5. Repeatable."
        ),
        click.option("--dhcp", is_flag=True, help="Tell NICs their addresses."),
        click.option("--dhcpdns", multiple=True, metavar="ADDRESS", help="A DNS server to tell of. Repeatable."),
        click.option("--lease", type=int, default=0, metavar="SECONDS", help="How long.  [default: 86400]"),
        click.option("--bridge", default="", help="NAT: a bridge of the host that leads outside."),
        click.option("--address", default="", metavar="CIDR", help="NAT: the address there, as in 192.0.2.10/24."),
        click.option("--gateway", default="", metavar="ADDRESS", help="NAT: the next hop there."),
        at_host,
    )
    for one in reversed(options):
        command = one(command)
    return command


@router.command(
    examples=(
        "weft router add 7 --ip 10.4.0.1/24:5 --ip 10.4.1.1/24:6",
        "weft router add 7 --ip 10.4.0.1/24:5 --dhcp --dhcpdns 1.1.1.1 --dhcpdns 1.0.0.1",
        "weft router add 7 --ip 10.4.0.1/24:5 --bridge virbr0 --address 192.0.2.10/24 --gateway 192.0.2.1",
    )
)
@_stack
@_what
async def add(vpc_id: int, agent: str, **what: Any) -> None:
    """Give a stack a router: with an address in each range, and if wanted DHCP and NAT."""
    async with asked(agent) as host:
        _print(fields_of(await host.add_router(vpc_id, **_fields(**what))))


@router.command(
    examples=(
        "weft router update 7 --ip 10.4.0.1/24:5 --dhcp",
        "weft router update 7 --ip 10.4.0.1/24:5 --ip 10.4.2.1/24:7",
        "weft router update 7 --ip 10.4.0.1/24:5 --bridge virbr0 --address 192.0.2.11/24 --gateway 192.0.2.1",
    )
)
@_stack
@_what
async def update(vpc_id: int, agent: str, **what: Any) -> None:
    """Make a router what is said here, and nothing else. Its routes stay."""
    async with asked(agent) as host:
        routes = (await host.get_router(vpc_id)).router.routes if what["bridge"] else ()
        _print(fields_of(await host.update_router(vpc_id, routes=routes, **_fields(**what))))


@router.command("list", examples=("weft router list", "weft router list -o wide", "weft router list -o json"))
@at_host
async def list_routers(agent: str) -> None:
    """List the routers of this host."""
    async with asked(agent) as host:
        found = [fields_of(one) for one in await host.list_routers()]
    print_rows("Router", _COLUMNS, found, nothing="no routers")


@router.command(examples=("weft router status 7", "weft router status 7 -o json", "weft router status 7 -o wide"))
@_stack
@at_host
async def status(vpc_id: int, agent: str) -> None:
    """Show the router of a stack, as the kernel has it now."""
    async with asked(agent) as host:
        _print(fields_of(await host.get_router(vpc_id)))


@router.command(examples=("weft router delete 7", "weft router delete 8", "weft router delete 7 --agent 10.0.0.5:8084"))
@_stack
@at_host
async def delete(vpc_id: int, agent: str) -> None:
    """Take its router from a stack. NICs of one VLAN go on talking to each other."""
    async with asked(agent) as host:
        await host.delete_router(vpc_id)
    note(f"stack {vpc_id} has no router any more")


@router.command(
    "add-route",
    examples=(
        "weft router add-route 7 198.51.100.0/24 192.0.2.7",
        "weft router add-route 7 203.0.113.0/25 192.0.2.8",
        "weft router add-route 8 198.51.100.7/32 192.0.2.7",
    ),
)
@_stack
@click.argument("destination")
@click.argument("gateway")
@at_host
async def add_route(vpc_id: int, destination: str, gateway: str, agent: str) -> None:
    """Lead to a range outside by another next hop than the default one."""
    async with asked(agent) as host:
        _print(fields_of(await host.add_route(vpc_id, destination, gateway)))


@router.command(
    "delete-route",
    examples=(
        "weft router delete-route 7 198.51.100.0/24",
        "weft router delete-route 7 203.0.113.0/25",
        "weft router delete-route 8 198.51.100.7/32",
    ),
)
@_stack
@click.argument("destination")
@at_host
async def delete_route(vpc_id: int, destination: str, agent: str) -> None:
    """Take a route away. What goes there takes the default one."""
    async with asked(agent) as host:
        _print(fields_of(await host.delete_route(vpc_id, destination)))


def _fields(
    ip: tuple[str, ...],
    dhcp: bool,
    dhcpdns: tuple[str, ...],
    lease: int,
    bridge: str,
    address: str,
    gateway: str,
) -> dict[str, Any]:
    nat = {"bridge": bridge, "address": address, "gateway": gateway}
    if any(nat.values()) and not all(nat.values()):
        raise click.UsageError("NAT needs --bridge, --address and --gateway")
    return {
        "ip": ip,
        "dhcp": dhcp,
        "dhcpdns": dhcpdns,
        "lease_time_s": lease,
        "nat": nat if bridge else None,
    }


def _print(found: Document) -> None:
    if not is_text():
        print_data(found)
        return
    print_rows("Router", _COLUMNS, [found], nothing="")
    if found["status"]["failure"]:
        note(found["status"]["failure"])
