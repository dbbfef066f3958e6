"""`weft flow`: what became of packets at the project's ports."""

import re
from typing import TYPE_CHECKING, Any

import click

from weftwork.base.tenancy import ProjectKey
from weftwork.cli.audit import MomentType
from weftwork.cli.changes import as_told, has_agent, show_plan, wait_programmed
from weftwork.cli.command import Group
from weftwork.cli.completion import complete_kind
from weftwork.cli.document import Document, document, fields_of
from weftwork.cli.nouns import VPC, Column, field
from weftwork.cli.options import How, Parsed, mutating
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import ExitCode, Problem, note, printable
from weftwork.cli.session import Session, connected
from weftwork.cli.token import moment

if TYPE_CHECKING:
    from weftwork.client.calls import Mutation

_SAMPLE = re.compile(r"(?:1/)?([1-9][0-9]{0,4})")


def parse_sample(text: str) -> int:
    """`1/10` or `10`. ValueError says what is wrong."""
    found = _SAMPLE.fullmatch(text)
    if found is None or int(found[1]) > 65536:
        raise ValueError(f"{text!r} is not 1/N, such as 1/10")
    return int(found[1])


def _end(address: str, port: int) -> str:
    return f"{address}:{port}" if port else address or "-"


def _what(flow: Document) -> str:
    ends = f"{_end(flow['source'], flow['source_port'])} > {_end(flow['destination'], flow['destination_port'])}"
    return f"{flow['protocol']} {ends}"


_COLUMNS = (
    Column("TIME", lambda one: moment(int(one["at_ms"]) // 1000)),
    Column("PORT", lambda one: one["port_name"] or one["port_id"]),
    Column("DIRECTION", field("direction")),
    Column("VERDICT", field("verdict")),
    Column("REASON", lambda one: " ".join(filter(None, (one["reason"], one["policy"])))),
    Column("PACKET", _what),
    Column("BYTES", field("bytes")),
    Column("SAMPLE", lambda one: f"1/{one['sample']}", wide=True),
)


def _key(session: Session, whose: str) -> ProjectKey:
    org, _, name = whose.partition("/")
    return ProjectKey(org, name) if name else session.project


def _choosing(command: Any) -> Any:
    for option in (
        click.option("--since", type=MomentType(), default=0, help="A time ago (5m, 2h), or 2026-11-24T20:15Z."),
        click.option("--verdict", type=click.Choice(("allowed", "dropped")), help="Only these."),
        click.option("--port", default="", shell_complete=complete_kind("port"), help="Only of this port."),
        click.argument("whose", default="", metavar="[ORG/PROJECT]"),
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def flow() -> None:
    """What became of packets at the project's ports: which were dropped, why, and what passed."""


@flow.command(
    "list",
    examples=("weft flow list", "weft flow list acme/web --verdict dropped --since 5m", "weft flow list --port web1"),
)
@_choosing
@click.option("--limit", type=click.IntRange(1, 2000), default=100, show_default=True, help="The newest so many.")
async def list_flows(whose: str, port: str, verdict: str | None, since: int, limit: int) -> None:
    """List what was logged lately."""
    async with connected() as session:
        found = await session.client.packets.list_flows(
            _key(session, whose), port=port, verdict=verdict or "", since_ms=since * 1000, limit=limit
        )
    print_rows("Flow", _COLUMNS, [fields_of(one) for one in found], nothing="nothing was logged")


@flow.command(examples=("weft flow watch", "weft flow watch acme/web --port web1", "weft flow watch -o json"))
@_choosing
async def watch(whose: str, port: str, verdict: str | None, since: int) -> None:
    """Follow what is logged, a line each, until you stop it."""
    async with connected() as session:
        events = session.client.packets.watch_flows(
            _key(session, whose), port=port, verdict=verdict or "", since_ms=since * 1000
        )
        async for event in events:
            for one in event.flows:
                _print_line(fields_of(one))
            if event.missed:
                note(f"{event.missed} came faster than they could be told")


def _print_line(one: Document) -> None:
    if not is_text():
        print_data(one)
        return
    cells = (printable(str(column.text(one))) for column in _COLUMNS if not column.wide)
    print("  ".join(cells), flush=True)


@flow.group(cls=Group)
def log() -> None:
    """Whether packets are logged, and which."""


@log.command(
    examples=(
        "weft flow log enable acme/web --drops",
        "weft flow log enable --sample 1/10",
        "weft flow log enable acme/web --allowed --dry-run",
    )
)
@click.argument("whose", default="", metavar="[ORG/PROJECT]")
@click.option("--sample", type=Parsed("sample", parse_sample), default="1/1", metavar="1/N", help="One packet of N.")
@click.option("--drops/--allowed", "drops", default=True, help="Only what is dropped (as a rule), or what passes too.")
@mutating
async def enable(whose: str, sample: int, drops: bool, how: How) -> None:
    """Have packets logged from now on."""
    async with connected() as session:
        key = _key(session, whose)
        wanted = session.client.packets.set_flow_log(key, enabled=True, sample=sample, allowed=not drops)
        await _set(session, key, wanted, how)


@log.command(
    examples=("weft flow log disable", "weft flow log disable acme/web --dry-run", "weft -P acme/web flow log disable")
)
@click.argument("whose", default="", metavar="[ORG/PROJECT]")
@mutating
async def disable(whose: str, how: How) -> None:
    """Have nothing logged."""
    async with connected() as session:
        key = _key(session, whose)
        await _set(session, key, session.client.packets.set_flow_log(key, enabled=False), how)


async def _set(session: Session, key: ProjectKey, mutation: "Mutation[Any]", how: How) -> None:
    mutation = as_told(mutation, how)
    if how.dry_run:
        return await show_plan(mutation, how)
    found = document(await mutation)
    _show(found)
    vpc = document(await session.client.get_vpc(key))
    if how.wait and has_agent(vpc) and not await wait_programmed(session, VPC, vpc, "Programmed", how.timeout_s):
        message = f"it is stored, but not programmed after {how.timeout_s:g} s"
        raise Problem(ExitCode.STILL_RUNNING, "STILL_RUNNING", message, hint="weft target show")
    return None


@log.command(examples=("weft flow log show", "weft flow log show acme/web", "weft flow log show -o json"))
@click.argument("whose", default="", metavar="[ORG/PROJECT]")
async def show(whose: str) -> None:
    """Say whether packets are logged, and which."""
    async with connected() as session:
        found = await session.client.packets.get_flow_log(_key(session, whose))
    _show(document(found))


def _show(found: Document) -> None:
    if not is_text():
        print_data(found)
    elif not found["enabled"]:
        print("no packets are logged")
    else:
        what = "packets that are dropped, and the first ones of what passes" if found["allowed"] else "dropped packets"
        print(f"{what} are logged, one of {found['sample']}")
