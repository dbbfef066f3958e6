"""`weft confirm`: let a change stand that would undo itself."""

from datetime import UTC, datetime

import click

from weftwork.cli.command import Group
from weftwork.cli.document import Document, document, fields_of
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import printable
from weftwork.cli.session import connected


class _Confirm(Group):
    """`weft confirm NAME` is `weft confirm change NAME`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_name = bool(args) and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None
        return super().resolve_command(ctx, ["change", *args] if is_name else args)


def _deadline(one: Document) -> str:
    return datetime.fromtimestamp(int(one["deadline"]), UTC).strftime("%Y-%m-%d %H:%M:%S")


_COLUMNS = (
    Column("NAME", field("name")),
    Column("STATE", field("state")),
    Column("REVISION", field("revision")),
    Column("DEADLINE (UTC)", _deadline),
    Column("WHO", field("who")),
    Column("CALL", lambda one: one["call"].rpartition("/")[2]),
    Column("PROBES", lambda one: "; ".join(one["probes"]) or "-"),
    Column("WHY", lambda one: one["why"] or "-"),
)


@click.group(cls=_Confirm)
def confirm() -> None:
    """Let a change stand that was made with --confirm-within: `weft confirm NAME`."""


@confirm.command(
    "change",
    examples=("weft confirm 1f0c9a2b", "weft confirm change 1f0c9a2b", "weft -P acme/shop confirm 1f0c9a2b -o json"),
)
@click.argument("name")
async def change(name: str) -> None:
    """Confirm one, by the name that was told when it was made. `change` may be left out."""
    async with connected() as session:
        done = document(await session.client.confirm(session.project, name))
    if is_text():
        print(printable(f"the change of revision {done['revision']} stays"))
    else:
        print_data(done)


@confirm.command("list", examples=("weft confirm list", "weft confirm list -o json", "weft -P acme/shop confirm list"))
async def list_confirmations() -> None:
    """List what waits to be confirmed, and what became of the rest in the last day."""
    async with connected() as session:
        found = [fields_of(one) for one in await session.client.list_confirmations(session.project)]
    print_rows("Confirmation", _COLUMNS, found, nothing="nothing waits to be confirmed")
