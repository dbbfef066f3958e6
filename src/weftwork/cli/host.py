"""`weft host`: the machines of the fleet."""

import os
from pathlib import Path

import click

from weftwork.cli.command import Group
from weftwork.cli.document import Document, fields_of
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_data, print_rows
from weftwork.cli.problems import note
from weftwork.cli.session import connected
from weftwork.cli.token import SpanType, moment

ROLES = ("compute", "route", "management")


def _state(one: Document) -> str:
    drained = " draining" if one["draining"] else ""
    return ("ready" if one["ready"] else one["reason"]) + drained


def _routing(one: Document) -> str:
    """With how many of its BGP sessions are well."""
    if one["routing"] != "evpn":
        return str(one["routing"])
    well = [session for session in one["sessions"] if session["state"] == "Established"]
    return f"evpn {len(well)}/{len(one['sessions'])}"


_COLUMNS = (
    Column("NAME", field("name")),
    Column("STATE", _state),
    Column("ROLES", lambda one: ",".join(one["roles"])),
    Column("UNDERLAY", field("underlay_ip")),
    Column("PORTS", field("ports")),
    Column("GENERATION", lambda one: f"{one['generation']}/{one['desired_generation']}"),
    Column("FAILURES", field("failures")),
    Column("KERNEL", lambda one: one["kernel"] or "-", wide=True),
    Column("CAPABILITIES", lambda one: ",".join(one["capabilities"]) or "-", wide=True),
    Column("ROUTING", lambda one: _routing(one), wide=True),
    Column("LABELS", lambda one: ",".join(f"{label['key']}={label['value']}" for label in one["labels"]), wide=True),
    Column("SINCE", lambda one: moment(one["since"]), wide=True),
)


_SESSIONS = (
    Column("BGP PEER", field("peer")),
    Column("STATE", field("state")),
    Column("PREFIXES", field("prefixes")),
)


class LabelType(click.ParamType[tuple[str, str]]):
    name = "key=value"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        if not equals or not key:
            self.fail(f"{value!r} is not KEY=VALUE, such as rack=b2", param, ctx)
        return key, text


def _write_privately(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


@click.group(cls=Group)
def host() -> None:
    """Hosts of the fleet: machines with an agent, on which ports are plugged."""


@host.command(
    examples=(
        "weft host add h1 --underlay 192.0.2.11 --token-file h1.join",
        "weft host add gw1 --underlay 192.0.2.5 --role route --role compute --label rack=b2",
        "weft host add h1 --again",
    )
)
@click.argument("name")
@click.option("--underlay", default="", help="The address that other hosts reach it by, IPv4.")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="What it is for.  [default: compute]")
@click.option("--label", "labels", multiple=True, type=LabelType(), help="Whatever you want to know of it.")
@click.option("--expires", type=SpanType(), default=0, help="The token's: 30m, 12h, 7d.  [default: 1h]")
@click.option("--token-file", type=click.Path(path_type=Path), default=None, help="Write it there, for our eyes only.")
@click.option("--again", is_flag=True, help="A new token for a host that is there, such as after its disk was lost.")
async def add(
    name: str,
    underlay: str,
    roles: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    expires: int,
    token_file: Path | None,
    again: bool,
) -> None:
    """Add a host, and print what its agent joins with: a token that is good once, and whom to believe.

    Give it to `weft agent --token-file` on the host. Nobody can print it again.
    """
    async with connected() as session:
        made = await session.client.hosts.add(
            name, underlay_ip=underlay, roles=roles, labels=dict(labels), token_lifetime_s=expires, again=again
        )
    if token_file is not None:
        _write_privately(token_file, made.join)
        note(f"host {name} added; on it: weft agent --server SERVER:PORT --token-file {token_file.name}")
    elif is_text():
        print(made.join, end="")
    else:
        print_data({**fields_of(made.host), "join": made.join})


@host.command("list", examples=("weft host list", "weft host list -o wide", "weft host list -o json"))
async def list_hosts() -> None:
    """List the hosts, and how they are."""
    async with connected() as session:
        found: list[Document] = [fields_of(one) for one in await session.client.hosts.list()]
    print_rows("Host", _COLUMNS, found, nothing="no hosts")


@host.command(examples=("weft host show h1", "weft host show h1 -o yaml", "weft host show h1 -o json"))
@click.argument("name")
async def show(name: str) -> None:
    """Show one host."""
    async with connected() as session:
        found = await session.client.hosts.get(name)
    if not is_text():
        print_data(fields_of(found))
        return
    print_rows("Host", _COLUMNS, [fields_of(found)], nothing="")
    if found.sessions:
        print_rows("Session", _SESSIONS, fields_of(found)["sessions"], nothing="")
    if found.message:
        note(found.message)


@host.command(examples=("weft host drain h1", "weft host drain h1 --undo", "weft host drain gw1"))
@click.argument("name")
@click.option("--undo", is_flag=True, help="Ports may be plugged there again.")
async def drain(name: str, undo: bool) -> None:
    """Let no more ports be plugged on a host. Those that are there stay until they are moved."""
    async with connected() as session:
        await session.client.hosts.drain(name, undo=undo)
    note(f"host {name} takes ports again" if undo else f"host {name} takes no more ports")


@host.command(examples=("weft host remove h1", "weft host remove h2", "weft host remove gw1"))
@click.argument("name")
async def remove(name: str) -> None:
    """Take a host without ports out of the fleet. Its certificate is worth nothing from then on."""
    async with connected() as session:
        await session.client.hosts.remove(name)
    note(f"host {name} removed")
