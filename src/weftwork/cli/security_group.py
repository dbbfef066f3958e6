"""`weft security-group` (`sg`): who may talk to its members, and to whom they may."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.completion import complete_kind
from weftwork.cli.document import Document
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import SECURITY_GROUP, Column, rule_text
from weftwork.cli.options import How, Parsed, mutating, named, removing
from weftwork.cli.output import print_list, print_one, print_rows
from weftwork.cli.session import connected
from weftwork.declare.rules import PROTOCOLS, Direction, RuleText, expand_rules, parse_rules

if TYPE_CHECKING:
    from weftwork.client.messages import SecurityRule

_INGRESS = click.option(
    "--ingress",
    multiple=True,
    type=Parsed("rule", lambda text: parse_rules(text, "ingress")),
    metavar="RULE",
    help="What may come in: 'tcp 80-90 from any', 'all from web'. Repeatable.",
)
_EGRESS = click.option(
    "--egress",
    multiple=True,
    type=Parsed("rule", lambda text: parse_rules(text, "egress")),
    metavar="RULE",
    help="What may go out: 'udp 53 to 10.0.0.53', 'all to any'. Repeatable.",
)


@click.group("security-group", cls=Group, aliases=("sg",))
def security_group() -> None:
    """Rules that allow; what no rule of a port's groups allows is dropped. Short: sg."""


@security_group.command(
    examples=(
        "weft sg create web --ingress 'tcp 80,443 from any' --egress 'all to any'",
        "weft sg create db --description 'the databases' --ingress 'tcp 5432 from web'",
        "weft sg create locked --dry-run",
    )
)
@click.argument("name")
@click.option("--description", default="", help="For people.")
@_INGRESS
@_EGRESS
@mutating
async def create(
    name: str,
    description: str,
    ingress: tuple[tuple[RuleText, ...], ...],
    egress: tuple[tuple[RuleText, ...], ...],
    how: How,
) -> None:
    """Create a security group. Without rules it allows nothing."""
    async with connected() as session:
        mutation = session.client.create_security_group(
            session.project, name, description=description, ingress=_messages(ingress), egress=_messages(egress)
        )
        await change(session, SECURITY_GROUP, mutation, how)


@security_group.command("list", examples=("weft sg list", "weft sg list -o wide", "weft sg list -o json"))
@watched_listing(SECURITY_GROUP)
async def list_groups() -> None:
    """List the project's security groups."""
    async with connected() as session:
        print_list(SECURITY_GROUP, await session.list(SECURITY_GROUP))


@security_group.command(examples=("weft sg show default", "weft sg show web -o yaml", "weft -P acme/shop sg show web"))
@named(SECURITY_GROUP)
async def show(name: str) -> None:
    """Show a security group, its rules and its conditions."""
    async with connected() as session:
        print_one(SECURITY_GROUP, await session.get(SECURITY_GROUP, name))


@security_group.command(
    examples=(
        "weft sg update web --description 'the front'",
        "weft sg update web --ingress 'tcp 443 from any'",
        "weft sg update web --no-egress --if-revision 42",
    )
)
@named(SECURITY_GROUP)
@click.option("--description", default=None, help="Replaces the description.")
@_INGRESS
@click.option("--no-ingress", is_flag=True, help="Remove all ingress rules.")
@_EGRESS
@click.option("--no-egress", is_flag=True, help="Remove all egress rules.")
@click.option("--if-revision", type=click.IntRange(1), help="Only if the group is still at this revision.")
@mutating
async def update(
    name: str,
    description: str | None,
    ingress: tuple[tuple[RuleText, ...], ...],
    no_ingress: bool,
    egress: tuple[tuple[RuleText, ...], ...],
    no_egress: bool,
    if_revision: int | None,
    how: How,
) -> None:
    """Replace a group's description, all its ingress rules or all its egress rules.

    What is not mentioned stays. Flows that no rule allows any more end.
    """
    if (ingress and no_ingress) or (egress and no_egress):
        raise click.UsageError("--ingress goes without --no-ingress, and --egress without --no-egress")
    if description is None and not (ingress or no_ingress or egress or no_egress):
        raise click.UsageError("say what to replace: --description, --ingress, --egress, --no-ingress or --no-egress")
    async with connected() as session:
        mutation = session.client.update_security_group(
            session.project,
            name,
            description=description,
            ingress=_messages(ingress) if ingress or no_ingress else None,
            egress=_messages(egress) if egress or no_egress else None,
            if_revision=if_revision or 0,
        )
        await change(session, SECURITY_GROUP, mutation, how)


@security_group.command(
    examples=("weft sg delete web", "weft sg delete web --cascade", "weft sg delete web --cascade --dry-run")
)
@named(SECURITY_GROUP)
@removing
@mutating
async def delete(name: str, cascade: bool, yes: bool, how: How) -> None:
    """Delete a security group. With --cascade it is taken from its ports and from the rules that name it."""
    async with connected() as session:
        found = await session.get(SECURITY_GROUP, name)
        mutation = session.client.delete_security_group(session.project, found["id"], cascade=cascade)
        await remove(session, SECURITY_GROUP, found, mutation, how, cascade=cascade, ask=not yes)


@security_group.group(cls=Group)
def rule() -> None:
    """The rules of a security group."""


def _rule_options(verb: Any) -> Any:
    for option in (
        click.option(
            "--to", "to", multiple=True, metavar="PEER", help="As --from, of an egress rule.",
            shell_complete=complete_kind("security-group"),
        ),
        click.option(
            "--from", "from_", multiple=True, metavar="PEER",
            help="Who may send: a CIDR, an address, a group's name or `any`. Repeatable.",
            shell_complete=complete_kind("security-group"),
        ),
        click.option("--ports", multiple=True, metavar="PORTS", help="80, 80-90 or 80,443. Repeatable."),
        click.option(
            "--protocol", type=click.Choice(PROTOCOLS, case_sensitive=False), default="all", help="[default: all]"
        ),
        click.option("--egress", is_flag=True, help="What members may send; --to says so too."),
        click.option("--ingress", is_flag=True, help="What members may receive; --from says so too."),
    ):  # fmt: skip
        verb = option(verb)
    return verb


@rule.command(
    examples=(
        "weft sg rule add web --protocol tcp --ports 80,443 --from any",
        "weft sg rule add db --ingress --protocol tcp --ports 5432 --from web",
        "weft sg rule add web --egress --to 10.0.0.0/8 --dry-run",
    )
)
@named(SECURITY_GROUP)
@_rule_options
@mutating
async def add(name: str, how: How, **rule: Any) -> None:
    """Add rules to a group. A rule that is there already stays as it is."""
    ingress, egress = _sides(_rules_of(**rule))
    async with connected() as session:
        mutation = session.client.add_rules(session.project, name, ingress=ingress, egress=egress)
        await change(session, SECURITY_GROUP, mutation, how)


@rule.command(
    "remove",
    examples=(
        "weft sg rule remove web --protocol tcp --ports 80,443 --from any",
        "weft sg rule remove db --ingress --protocol tcp --ports 5432 --from web",
        "weft sg rule remove web --egress --to 10.0.0.0/8 --dry-run",
    ),
)
@named(SECURITY_GROUP)
@_rule_options
@mutating
async def remove_rules(name: str, how: How, **rule: Any) -> None:
    """Remove rules from a group. Flows that no other rule allows end."""
    ingress, egress = _sides(_rules_of(**rule))
    async with connected() as session:
        mutation = session.client.remove_rules(session.project, name, ingress=ingress, egress=egress)
        await change(session, SECURITY_GROUP, mutation, how)


@rule.command(
    "list",
    examples=("weft sg rule list web", "weft sg rule list web -o json", "weft -P acme/shop sg rule list web"),
)
@named(SECURITY_GROUP)
async def list_rules(name: str) -> None:
    """List the rules of a group."""
    async with connected() as session:
        group = await session.get(SECURITY_GROUP, name)
    project = f"{group['org_id']}/{group['project_id']}/"
    rows = [{"direction": "ingress", **one} for one in group["ingress_rules"]]
    rows += [{"direction": "egress", **one} for one in group["egress_rules"]]
    print_rows("SecurityRule", _rule_columns(project), rows, nothing="no rules")


def _rule_columns(project: str) -> tuple[Column, ...]:
    def text(rule: Document) -> str:
        return rule_text(rule, rule["direction"], project)

    def ports(rule: Document) -> str:
        span = rule["port_range"]
        if span is None:
            return "all"
        return str(span["min"]) if span["min"] == span["max"] else f"{span['min']}-{span['max']}"

    return (
        Column("RULE", text),
        Column("DIRECTION", lambda rule: str(rule["direction"])),
        Column("PROTOCOL", lambda rule: str(rule["protocol"])),
        Column("PORTS", ports),
        Column("PEER", lambda rule: str(rule["source"]), wide=True),
    )


def _rules_of(
    *,
    ingress: bool,
    egress: bool,
    protocol: str,
    ports: tuple[str, ...],
    from_: tuple[str, ...],
    to: tuple[str, ...],
) -> tuple[RuleText, ...]:
    """The direction comes from --ingress, --egress, --from or --to; they must agree."""
    said: set[Direction] = set()
    if ingress or from_:
        said.add("ingress")
    if egress or to:
        said.add("egress")
    if len(said) != 1:
        raise click.UsageError("say one direction: --ingress --from PEER, or --egress --to PEER")
    (direction,) = said
    peers = from_ or to
    if not peers:
        option = "--from" if direction == "ingress" else "--to"
        raise click.UsageError(f"say {option} CIDR or GROUP (`any` is everybody)")
    try:
        return expand_rules(direction, protocol, ports, peers)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _sides(rules: tuple[RuleText, ...]) -> tuple[list["SecurityRule"], list["SecurityRule"]]:
    """The ingress and the egress rules."""
    ingress = [one for one in rules if one.direction == "ingress"]
    return _messages([ingress]), _messages([[one for one in rules if one.direction == "egress"]])


def _messages(rules: Iterable[Iterable[RuleText]]) -> list["SecurityRule"]:
    from weftwork.client import rule

    return [
        rule(one.protocol, one.peer.text, (one.ports.min, one.ports.max) if one.ports else None)
        for several in rules
        for one in several
    ]
