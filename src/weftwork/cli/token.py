"""`weft token`: API tokens for machines."""

import re
import time

import click

from weftwork.cli.command import Group
from weftwork.cli.document import Document, document, fields_of
from weftwork.cli.listing import listing
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import note
from weftwork.cli.session import Session, connected

ROLES = ("viewer", "member", "operator", "admin", "fleet-admin")
_SPAN = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def moment(seconds: int) -> str:
    """`2026-11-24 20:15Z`; a dash for never."""
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(seconds)) if seconds else "-"


_COLUMNS = (
    Column("ID", field("id")),
    Column("NAME", field("name")),
    Column("GRANT", field("grant")),
    Column("EXPIRES", lambda one: moment(one["expires_at"])),
    Column("CREATED-BY", field("created_by")),
    Column("CREATED", lambda one: moment(one["created_at"]), wide=True),
)


class SpanType(click.ParamType[int]):
    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _SPAN.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a time such as 30m, 12h or 90d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.group(cls=Group)
def token() -> None:
    """API tokens: how machines say who they are, with WEFT_TOKEN."""


def scope_of(session: Session, org: str, everything: bool) -> dict[str, str]:
    """The session's project, unless an organisation or the deployment is meant."""
    if everything:
        return {}
    return {"org": org} if org else {"org": session.project.org, "project": session.project.project}


@token.command(
    examples=(
        "weft token create ci --role member",
        "weft token create nightly --role viewer --expires 30d",
        "weft token create backup --role viewer --org acme",
    )
)
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may.")
@click.option("--org", default="", help="In every project of this organisation, and not in the current project.")
@click.option("--expires", type=SpanType(), default=0, help="After this time: 30m, 12h, 90d.  [default: 90d]")
async def create(name: str, role: str, org: str, expires: int) -> None:
    """Make a token for the current project. It is printed once, and nobody can print it again."""
    async with connected() as session:
        scope = scope_of(session, org, role == "fleet-admin")
        made = await session.client.access.create_token(name, role=role, lifetime_s=expires, **scope)
    if is_text():
        print(made.secret)
        note(f"token {made.token.id} is {made.token.grant} until {moment(made.token.expires_at)}; keep it now")
    else:
        print_data({**document(made.token), "secret": made.secret})


@token.command("list", examples=("weft token list", "weft token list --org acme", "weft token list --all -o json"))
@listing(_COLUMNS)
@click.option("--org", default="", help="Of this organisation and its projects.")
@click.option("--all", "everything", is_flag=True, help="Of the whole deployment.")
async def list_tokens(org: str, everything: bool) -> None:
    """List the tokens of the current project; their secrets are not kept."""
    async with connected() as session:
        found: list[Document] = [
            fields_of(one) for one in await session.client.access.list_tokens(**scope_of(session, org, everything))
        ]
    print_rows("Token", _COLUMNS, found, nothing="no tokens")


@token.command(
    examples=(
        "weft token revoke 3fa2c1d40b9e",
        "weft token revoke 3fa2c1d40b9e --org acme",
        "weft token revoke 3fa2c1d40b9e --all",
    )
)
@click.argument("token_id", metavar="ID")
@click.option("--org", default="", help="Of this organisation.")
@click.option("--all", "everything", is_flag=True, help="Of the whole deployment.")
async def revoke(token_id: str, org: str, everything: bool) -> None:
    """Make a token worthless, at once."""
    async with connected() as session:
        await session.client.access.revoke_token(token_id, **scope_of(session, org, everything))
    note(f"token {token_id} revoked")
