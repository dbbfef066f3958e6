"""`weft history` and `weft rollback`: what a project was, and the way back."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from weftwork.cli.changes import NO_AGENT, as_told, show_plan
from weftwork.cli.command import Command, Group
from weftwork.cli.document import API_VERSION, Document, document, fields_of
from weftwork.cli.listing import listing
from weftwork.cli.nouns import Column, field
from weftwork.cli.options import How, mutating
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import ExitCode, Problem, note, printable
from weftwork.cli.session import Session, connected

if TYPE_CHECKING:
    from weftwork.client.messages import ConditionEvent

COUNT = 20
AT_ONCE_S = 0.001


def _when(revision: Document) -> str:
    return datetime.fromtimestamp(int(revision["at"]), UTC).strftime("%Y-%m-%d %H:%M:%S")


def _summary(revision: Document) -> str:
    """The first object, and how many more."""
    texts = [printable(one["text"]) for one in revision["changes"]]
    more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    return f"{texts[0]}{more}" if texts else "nothing"


_COLUMNS = (
    Column("REVISION", field("revision")),
    Column("WHEN (UTC)", _when),
    Column("WHO", lambda one: one["who"] or one["where"]),
    Column("CALL", lambda one: one["call"].rpartition("/")[2]),
    Column("CHANGES", _summary),
    Column("FROM", field("where"), wide=True),
    Column("NOTE", field("note"), wide=True),
)


@click.group(cls=Group)
def history() -> None:
    """What the project was: every revision, and what each changed."""


@history.command("list", examples=("weft history list", "weft history list --limit 100", "weft history list -o json"))
@listing(_COLUMNS)
@click.option("--limit", type=click.IntRange(1), default=COUNT, show_default=True, help="How many, from the newest on.")
async def list_revisions(limit: int) -> None:
    """List the project's revisions, the newest first."""
    found: list[Document] = []
    async with connected() as session:
        async for one in session.client.list_revisions(session.project):
            found.append(fields_of(one))
            if len(found) == limit:
                break
    print_rows("Revision", _COLUMNS, found, nothing="the project has no history")


@history.command(examples=("weft history show 42", "weft history show 42 -o yaml", "weft -P acme/shop history show 7"))
@click.argument("revision", type=click.IntRange(1))
async def show(revision: int) -> None:
    """Show what a revision changed, field by field."""
    async with connected() as session:
        async for one in session.client.list_revisions(session.project):
            if one.revision <= revision:
                break
        else:
            one = None
    if one is None or one.revision != revision:
        raise Problem(
            ExitCode.NOT_FOUND,
            "REVISION_NOT_KNOWN",
            f"project {session.project} has no revision {revision}",
            hint="`weft history list` lists those that it has",
        )
    told = document(one)
    if not is_text():
        return print_data(told)
    who = printable(told["who"] or told["where"])
    print(f"revision {told['revision']}, {_when(told)} UTC, by {who or 'nobody named'}: {told['call']}")
    print_changes(told["changes"])
    return None


@history.command(
    examples=("weft history diff 42", "weft history diff 42 57", "weft history diff 42 --exit-code -o json")
)
@click.argument("old", type=click.IntRange(0))
@click.argument("new", type=click.IntRange(0), default=0)
@click.option("--exit-code", is_flag=True, help="Exit with 10 if anything is different.")
async def diff(old: int, new: int, exit_code: bool) -> None:
    """Show what is different between two revisions, or between one and the present."""
    async with connected() as session:
        changes = [fields_of(one) for one in await session.client.diff_revisions(session.project, old, new)]
    if is_text():
        print_changes(changes)
    else:
        print_data({"apiVersion": API_VERSION, "kind": "Diff", "changes": changes})
    if exit_code and changes:
        click.get_current_context().exit(ExitCode.DIFFERENCE)


@click.command(
    cls=Command,
    examples=(
        "weft rollback --to 42 --dry-run",
        "weft rollback --to 42",
        "weft -P acme/shop rollback --to 42 --no-wait",
    ),
)
@click.option(
    "--to", "revision", type=click.IntRange(0), required=True, metavar="REV", help="From `weft history list`."
)
@mutating
async def rollback(revision: int, how: How) -> None:
    """Make the project what it was at a revision: every object, with its ids, addresses and MACs, in one change.

    What came later is deleted, what went is made again. The rollback is a revision too, so it can be taken back.
    """
    async with connected() as session:
        mutation = session.client.rollback(session.project, revision)
        mutation = as_told(mutation, how)
        if how.dry_run:
            return await show_plan(mutation, how)
        done = document(await mutation)
        if how.wait:
            await wait_for_changes(session, done, how.timeout_s, what="rollback")
    if not is_text():
        return print_data(done)
    print(f"project {session.project} is as it was at revision {revision}; this is revision {done['revision']}")
    print_changes(done["changes"])
    return None


async def wait_for_changes(session: Session, done: Document, timeout_s: float, *, what: str) -> None:
    """Until the hosts have what was made or changed in the session's project."""
    for one in done["changes"]:
        if one["action"] == "delete":
            continue
        if not await _is_somebody_there(session, one, done["revision"]):
            return note(f"note: no agent is connected to the server: the {what} is stored, not programmed")
        event = await _event(session, one, done["revision"], timeout_s)
        if not event.met:
            raise Problem(
                ExitCode.STILL_RUNNING,
                "STILL_RUNNING",
                f"the {what} is stored, but {one['kind']} {one['id']} is not programmed after {timeout_s:g} s",
                hint="weft target show",
            )
    return None


async def _is_somebody_there(session: Session, change: Document, revision: int) -> bool:
    event = await _event(session, change, revision, AT_ONCE_S)
    return not any(condition.reason == NO_AGENT for condition in event.conditions)


async def _event(session: Session, change: Document, revision: int, timeout_s: float) -> "ConditionEvent":
    from weftwork.client import resource_ref

    where = resource_ref(change["kind"], session.project, change["id"])
    return await session.client.wait_for(where, type="Programmed", revision=revision, timeout_s=timeout_s)


def print_changes(changes: list[Document]) -> None:
    if not changes:
        print("nothing is different")
    for one in changes:
        print(printable(one["text"]))
        for line in one["fields"]:
            print(f"    {printable(line)}")
