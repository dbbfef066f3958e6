"""`weft target` and `weft leaks`: what the hosts hold, what they should, and what nobody owns."""

import click

from weftwork.cli.command import Command, Group
from weftwork.cli.document import Document, document, fields_of
from weftwork.cli.listing import listing
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.plans import print_steps
from weftwork.cli.problems import ExitCode, printable
from weftwork.cli.session import connected

_TARGET_COLUMNS = (
    Column("TARGET", lambda target: f"{target['host']}/{target['driver']}"),
    Column("GENERATION", field("generation")),
    Column("DESIRED", field("desired_generation")),
    Column("RESOURCES", field("resources")),
    Column("FAILURES", field("failures")),
    Column("DETAIL", field("detail"), wide=True),
)
_LEAK_COLUMNS = (
    Column("ID", field("id")),
    Column("KIND", field("kind")),
    Column("WHERE", field("where")),
    Column("WHY", field("why")),
)


@click.group(cls=Group)
def target() -> None:
    """What the hosts hold, and what they should."""


@target.command("list", examples=("weft target list", "weft target list -o wide", "weft target list -o json"))
@listing(_TARGET_COLUMNS)
async def list_targets() -> None:
    """List the drivers of all hosts, and how far they are."""
    async with connected() as session:
        targets = [fields_of(one) for one in await session.client.list_targets()]
    print_rows("Target", _TARGET_COLUMNS, targets, nothing="no agent is connected to the server")


@target.command(
    examples=("weft target show", "weft target show node1 --driver linux", "weft target show --scope weft-100 -o json")
)
@click.argument("host", default="")
@click.option("--driver", default="", help="Only this driver: linux or dhcp.")
@click.option("--scope", default="", help="Only this network namespace.")
@click.option("--exit-code", is_flag=True, help="Exit with 10 if the host is not as it should be.")
async def show(host: str, driver: str, scope: str, exit_code: bool) -> None:
    """Show what a host should hold, what it does hold now, and the plan between.

    HOST may be left out when there is only one. What is desired and not there is marked with +, what is there and not
    desired with -.
    """
    async with connected() as session:
        state = document(await session.client.get_target(host, driver, scope))
    if is_text():
        _print_state(state)
    else:
        print_data(state)
    if exit_code and state["steps"]:
        click.get_current_context().exit(ExitCode.DIFFERENCE)


def _print_state(state: Document) -> None:
    """Both lists as one, because as a rule they are the same."""
    desired, observed = set(state["desired"]), set(state["observed"])
    print(f"desired: {len(desired)} resources, observed: {len(observed)} resources")
    strays = [line for line in state["observed"] if line not in desired]
    for line in (*state["desired"], *strays):
        mark = "+" if line not in observed else "-" if line not in desired else " "
        print(f"{mark} {printable(line)}")
    count = len(state["steps"])
    print(f"plan: {count} step{'s' if count > 1 else ''}" if count else "plan: nothing to do")
    print_steps(state["steps"])


@click.command(cls=Command, examples=("weft leaks", "weft leaks --exit-code", "weft leaks -o json"))
@listing(_LEAK_COLUMNS)
@click.option("--exit-code", is_flag=True, help="Exit with 10 if there are any.")
async def leaks(exit_code: bool) -> None:
    """List whatever of ours has no owner, across the store and the hosts."""
    async with connected() as session:
        found = [fields_of(one) for one in await session.client.list_leaks()]
    print_rows("Leak", _LEAK_COLUMNS, found, nothing="no leaks")
    if exit_code and found:
        click.get_current_context().exit(ExitCode.DIFFERENCE)
