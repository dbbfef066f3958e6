"""`weft stack`: networks of this host, asked for at its own agent."""

import click

from weftwork.cli.at_host import asked, at_host
from weftwork.cli.command import Group
from weftwork.cli.document import Document, fields_of
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import note

_COLUMNS = (
    Column("STACK", lambda one: str(one["stack"]["vpc_id"])),
    Column("BRIDGE", lambda one: one["status"]["bridge"]),
    Column("TRANSPORT", lambda one: one["status"]["transport"]),
    Column("VLANS", lambda one: ",".join(map(str, one["stack"]["vlans"])) or "-"),
    Column("NETNS", lambda one: one["stack"]["netns"]),
    Column("FAILURE", lambda one: one["status"]["failure"] or "-"),
)
_CHANGES = (
    Column("STACK", field("vpc_id")),
    Column("ACTION", field("action")),
    Column("NIC", lambda one: one["id"] or "-"),
)


@click.group(cls=Group)
def stack() -> None:
    """Networks of this host, asked for at its own agent and not at a server."""


@stack.command(
    examples=("weft stack add 7", "weft stack add 7 --agent /run/weftwork/agent.sock", "weft stack add 16777215")
)
@click.argument("vpc_id", type=int, metavar="NUMBER")
@at_host
async def add(vpc_id: int, agent: str) -> None:
    """Make a stack: a network of its own, by a number from 1 to 16777215."""
    async with asked(agent) as host:
        _print(fields_of(await host.add_stack(vpc_id)))


@stack.command("list", examples=("weft stack list", "weft stack list -o json", "weft stack list -o yaml"))
@at_host
async def list_stacks(agent: str) -> None:
    """List the stacks of this host."""
    async with asked(agent) as host:
        found = [fields_of(one) for one in await host.list_stacks()]
    print_rows("Stack", _COLUMNS, found, nothing="no stacks")


@stack.command(examples=("weft stack status 7", "weft stack status 7 -o json", "weft stack status 7 -o yaml"))
@click.argument("vpc_id", type=int, metavar="NUMBER")
@at_host
async def status(vpc_id: int, agent: str) -> None:
    """Show a stack as the kernel has it now."""
    async with asked(agent) as host:
        _print(fields_of(await host.get_stack(vpc_id)))


@stack.command(
    examples=("weft stack delete 7", "weft stack delete 7 --cascade", "weft stack delete 7 --agent 10.0.0.5:8084")
)
@click.argument("vpc_id", type=int, metavar="NUMBER")
@click.option("--cascade", is_flag=True, help="With its NICs and its router.")
@at_host
async def delete(vpc_id: int, cascade: bool, agent: str) -> None:
    """Delete a stack. Links that it adopted are the host's again."""
    async with asked(agent) as host:
        await host.delete_stack(vpc_id, cascade=cascade)
    note(f"stack {vpc_id} is gone")


@stack.command(
    examples=("weft stack watch", "weft stack watch -o json", "weft stack watch --agent /run/weftwork/agent.sock")
)
@at_host
async def watch(agent: str) -> None:
    """Tell every change of stacks, NICs and routers, until you end it."""
    async with asked(agent) as host:
        async for change in host.watch_stacks():
            if change.action:
                print_rows("StackChange", _CHANGES, [fields_of(change)], nothing="")


def _print(found: Document) -> None:
    if not is_text():
        print_data(found)
        return
    print_rows("Stack", _COLUMNS, [found], nothing="")
