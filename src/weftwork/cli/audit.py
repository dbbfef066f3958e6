"""`weft audit`: who changed what, and what was refused to whom."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import click

from weftwork.cli.command import Group
from weftwork.cli.document import Document, fields_of
from weftwork.cli.listing import listing
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import print_rows
from weftwork.cli.session import Session, connected
from weftwork.cli.token import moment, scope_of

LISTED = 50
_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class MomentType(click.ParamType[int]):
    name = "when"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if match := _AGO.fullmatch(value):
            return int(time.time()) - int(match[1]) * _UNITS[match[2]]
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time ago, such as 2h or 7d, nor 2026-11-24T20:15Z", param, ctx)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _what(entry: Document) -> str:
    names = [change["what"].removeprefix("/networks/") for change in entry["changes"]]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return shown or entry["message"]


_COLUMNS = (
    Column("TIME", lambda one: moment(one["at"])),
    Column("WHO", lambda one: one["who"] or "-"),
    Column("CALL", lambda one: one["call"].rpartition("/")[2] or "-"),
    Column("RESULT", lambda one: one["refused"] or "done"),
    Column("WHAT", _what),
    Column("PROJECT", lambda one: "/".join(filter(None, (one["org_id"], one["project_id"]))) or "-", wide=True),
    Column("FROM", lambda one: one["where"] or "-", wide=True),
    Column("REVISION", field("revision"), wide=True),
)


def _choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """What to list: the same for the list and the export."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="Of the whole deployment."),
        click.option("--org", default="", help="Of this organisation and its projects."),
        click.option("--refused", is_flag=True, help="Only what was refused."),
        click.option("--about", default="", metavar="TEXT", help="Part of the call, or of what was changed."),
        click.option("--who", default="", metavar="TEXT", help="Part of the name of who it was."),
        click.option("--until", type=MomentType(), default=0, help="As --since."),
        click.option("--since", type=MomentType(), default=0, help="A time ago (2h, 7d), or 2026-11-24T20:15Z."),
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def audit() -> None:
    """Who changed what and when, with what was there before and after; and what was refused."""


@audit.command(
    "list",
    examples=(
        "weft audit list",
        "weft audit list --since 2h --refused",
        "weft audit list --who ada --about /ports/ -o wide",
    ),
)
@listing(_COLUMNS)
@_choosing
@click.option("--limit", type=click.IntRange(1), default=LISTED, show_default=True, help="At most so many.")
async def list_entries(limit: int, **chosen: Any) -> None:
    """List the newest entries of the current project."""
    found: list[Document] = []
    async with connected() as session:
        async for entry in _entries(session, **chosen):
            found.append(entry)
            if len(found) == limit:
                break
    print_rows("AuditEntry", _COLUMNS, found, nothing="nothing happened")


@audit.command(
    examples=("weft audit export", "weft audit export --all --since 1d", "weft audit export --org acme --refused")
)
@_choosing
async def export(**chosen: Any) -> None:
    """Print every entry as one line of JSON, newest first, with what was there before and after."""
    async with connected() as session:
        async for entry in _entries(session, **chosen):
            for change in entry["changes"]:
                change["before"], change["after"] = (json.loads(change[side]) for side in ("before", "after"))
            print(json.dumps(entry, ensure_ascii=False))


async def _entries(
    session: Session, *, org: str, everything: bool, since: int, until: int, who: str, about: str, refused: bool
) -> AsyncIterator[Document]:
    scope = scope_of(session, org, everything)
    async for entry in session.client.access.audit_entries(
        since=since, until=until, who=who, about=about, refused=refused, **scope
    ):
        yield fields_of(entry)
