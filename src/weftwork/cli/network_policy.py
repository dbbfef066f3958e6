"""`weft network-policy` (`np`): rules of the project or a subnet above its security groups."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import NETWORK_POLICY
from weftwork.cli.options import How, Parsed, mutating, named, subnet_option
from weftwork.cli.output import print_list, print_one
from weftwork.cli.session import connected
from weftwork.declare.policy_rules import PolicyRuleText, parse_policy_rules

if TYPE_CHECKING:
    from weftwork.client.messages import PolicyRule

_KINDS = ("ingress", "egress", "isolation")
_RULE = Parsed("rule", parse_policy_rules)
_PRIORITY = click.IntRange(1, 65535)


@click.group("network-policy", cls=Group, aliases=("np",))
def network_policy() -> None:
    """What the project or a subnet allows and denies above its security groups. Short: np."""


@network_policy.command(
    examples=(
        "weft np create no-ssh --kind ingress --priority 10 --rule 'deny tcp 22 from any'",
        "weft np create only-dns-out --kind egress --subnet data --priority 20"
        " --rule 'allow udp 53 to 10.0.0.53' --rule 'deny all to any'",
        "weft np create apart --kind isolation --subnet data --priority 30 --rule 'allow tcp 5432 with group web'",
    )
)
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS, case_sensitive=False), required=True)
@subnet_option("The subnet it is for; the whole project if not given.")
@click.option("--priority", type=_PRIORITY, required=True, help="The lowest number is asked first.")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    type=_RULE,
    metavar="RULE",
    help="'deny tcp 22 from any', 'allow all to subnet data'. Repeatable; the first that matches decides.",
)
@mutating
async def create(
    name: str, kind: str, subnet: str, priority: int, rules: tuple[tuple[PolicyRuleText, ...], ...], how: How
) -> None:
    """Create a network policy. What its first matching rule denies is dropped, whatever security groups allow."""
    async with connected() as session:
        mutation = session.client.create_network_policy(
            session.project, name, kind, priority, subnet=subnet, rules=_messages(rules)
        )
        await change(session, NETWORK_POLICY, mutation, how)


@network_policy.command("list", examples=("weft np list", "weft np list -o wide", "weft np list -o json"))
@watched_listing(NETWORK_POLICY)
async def list_policies() -> None:
    """List the project's network policies."""
    async with connected() as session:
        print_list(NETWORK_POLICY, await session.list(NETWORK_POLICY))


@network_policy.command(
    examples=("weft np show no-ssh", "weft np show no-ssh -o yaml", "weft -P acme/shop np show apart")
)
@named(NETWORK_POLICY)
async def show(name: str) -> None:
    """Show a network policy, its rules in their order and its conditions."""
    async with connected() as session:
        print_one(NETWORK_POLICY, await session.get(NETWORK_POLICY, name))


@network_policy.command(
    examples=(
        "weft np update no-ssh --priority 5",
        "weft np update no-ssh --rule 'deny tcp 22 from any' --rule 'deny tcp 3389 from any'",
        "weft np update no-ssh --no-rules --if-revision 42",
    )
)
@named(NETWORK_POLICY)
@click.option("--priority", type=_PRIORITY, default=None, help="Its new place.")
@click.option("--rule", "rules", multiple=True, type=_RULE, metavar="RULE", help="Replaces all rules. Repeatable.")
@click.option("--no-rules", is_flag=True, help="Remove all rules.")
@click.option("--if-revision", type=click.IntRange(1), help="Only if the policy is still at this revision.")
@mutating
async def update(
    name: str,
    priority: int | None,
    rules: tuple[tuple[PolicyRuleText, ...], ...],
    no_rules: bool,
    if_revision: int | None,
    how: How,
) -> None:
    """Replace a policy's priority or all its rules. Flows that it forbids now end, and no others."""
    if rules and no_rules:
        raise click.UsageError("--rule goes without --no-rules")
    if priority is None and not (rules or no_rules):
        raise click.UsageError("say what to replace: --priority, --rule or --no-rules")
    async with connected() as session:
        mutation = session.client.update_network_policy(
            session.project,
            name,
            priority=priority,
            rules=_messages(rules) if rules or no_rules else None,
            if_revision=if_revision or 0,
        )
        await change(session, NETWORK_POLICY, mutation, how)


@network_policy.command(
    examples=("weft np delete no-ssh", "weft np delete no-ssh --dry-run", "weft -P acme/shop np delete apart")
)
@named(NETWORK_POLICY)
@mutating
async def delete(name: str, how: How) -> None:
    """Delete a network policy. What only it forbade passes again."""
    async with connected() as session:
        found = await session.get(NETWORK_POLICY, name)
        mutation = session.client.delete_network_policy(session.project, found["name"])
        await remove(session, NETWORK_POLICY, found, mutation, how)


@network_policy.group(cls=Group)
def rule() -> None:
    """The rules of a network policy, in their order."""


_RULES = click.argument("rules", nargs=-1, required=True, type=_RULE, metavar="RULE...")


@rule.command(
    examples=(
        "weft np rule add no-ssh 'deny tcp 22 from any'",
        "weft np rule add no-ssh 'allow tcp 22 from group admins' --at 1",
        "weft np rule add apart 'allow udp 53 with 10.0.0.53' --dry-run",
    )
)
@named(NETWORK_POLICY)
@_RULES
@click.option("--at", "position", type=click.IntRange(1), help="1 is before all others. Behind them if not given.")
@mutating
async def add(name: str, rules: tuple[tuple[PolicyRuleText, ...], ...], position: int | None, how: How) -> None:
    """Add rules to a policy. A rule that is there already stays where it is."""
    async with connected() as session:
        mutation = session.client.add_policy_rules(session.project, name, _messages(rules), position=position or 0)
        await change(session, NETWORK_POLICY, mutation, how)


@rule.command(
    "remove",
    examples=(
        "weft np rule remove no-ssh 'deny tcp 22 from any'",
        "weft np rule remove apart 'allow udp 53 with 10.0.0.53'",
        "weft np rule remove no-ssh 'deny tcp 22 from any' --dry-run",
    ),
)
@named(NETWORK_POLICY)
@_RULES
@mutating
async def remove_rules(name: str, rules: tuple[tuple[PolicyRuleText, ...], ...], how: How) -> None:
    """Remove rules from a policy."""
    async with connected() as session:
        mutation = session.client.remove_policy_rules(session.project, name, _messages(rules))
        await change(session, NETWORK_POLICY, mutation, how)


def _messages(rules: Iterable[Iterable[PolicyRuleText]]) -> list["PolicyRule"]:
    from weftwork.client import policy_rule

    return [policy_rule(**_words(one)) for several in rules for one in several]


def _words(one: PolicyRuleText) -> dict[str, Any]:
    ports = (one.ports.min, one.ports.max) if one.ports else None
    return {
        "action": one.action,
        "protocol": one.protocol,
        "peer": one.peer,
        "peer_kind": one.peer_kind,
        "ports": ports,
    }
