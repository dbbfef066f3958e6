"""`weft quota`: how much a project may have, and which addresses."""

import click

from weftwork.cli.command import Group
from weftwork.cli.document import Document, document
from weftwork.cli.listing import listing
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import note
from weftwork.cli.session import connected

_COLUMNS = (
    Column("RESOURCE", field("resource")),
    Column("USED", field("used")),
    Column("LIMIT", lambda one: "-" if one["unlimited"] else str(one["limit"])),
    Column("FROM", lambda one: "project" if one["own"] else "default"),
)


class LimitType(click.ParamType[tuple[str, str]]):
    name = "resource=limit"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        resource, equals, limit = value.partition("=")
        if not equals or not (limit == "default" or (limit.isascii() and limit.isdecimal())):
            self.fail(f"{value!r} is not RESOURCE=LIMIT, such as port=100 or port=default", param, ctx)
        return resource, limit


@click.group(cls=Group)
def quota() -> None:
    """How much a project may have, how much it has, and which addresses it may use."""


@quota.command(examples=("weft quota show", "weft -P acme/web quota show", "weft quota show -o json"))
@listing(_COLUMNS)
async def show() -> None:
    """Show the project's limits, and what it uses of them."""
    async with connected() as session:
        found = document(await session.client.access.get_quota(*session.project))
    _print(found)


@quota.command(
    "set",
    examples=(
        "weft quota set port=100 subnet=4",
        "weft quota set port=default --no-external",
        "weft quota set --external 203.0.113.0/28 --range 10.7.0.0/16",
    ),
)
@click.argument("limits", nargs=-1, type=LimitType(), metavar="[RESOURCE=LIMIT]...")
@click.option("--external", multiple=True, metavar="CIDR", help="The only external addresses it may use.")
@click.option("--no-external", is_flag=True, help="No external address.")
@click.option("--any-external", is_flag=True, help="Every external address that is offered.")
@click.option("--range", "ranges", multiple=True, metavar="CIDR", help="The only ranges that its VPC may have.")
@click.option("--any-range", is_flag=True, help="Every range.")
async def set_quota(
    limits: tuple[tuple[str, str], ...],
    external: tuple[str, ...],
    no_external: bool,
    any_external: bool,
    ranges: tuple[str, ...],
    any_range: bool,
) -> None:
    """Say what the project may have. What is not named stays as it is.

    A limit below what is there removes nothing, and lets nothing more come.
    """
    async with connected() as session:
        found = document(
            await session.client.access.set_quota(
                *session.project,
                limits={resource: int(limit) for resource, limit in limits if limit != "default"},
                reset=[resource for resource, limit in limits if limit == "default"],
                external=external if external or no_external else None,
                any_external=any_external,
                ranges=ranges or None,
                any_range=any_range,
            )
        )
    _print(found)


def _print(found: Document) -> None:
    if not is_text():
        print_data(found)
        return
    print_rows("QuotaUsage", _COLUMNS, found["usages"], nothing="nothing has a quota")
    for what, title in (("external", "external addresses"), ("ranges", "ranges of the VPC")):
        if found[what] is not None:
            note(f"{title} allowed: {', '.join(found[what]['cidrs']) or 'none'}")
