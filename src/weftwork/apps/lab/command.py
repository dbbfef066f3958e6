"""`weft lab`: a fleet on this machine, to try and to break."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from weftwork.apps.lab.lab import Lab, LabError

FOLDER = Path("/run/weft-lab")
_P = ParamSpec("_P")


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong, in a sentence."""
    if os.geteuid():
        click.echo("error: NOT_ROOT: weft lab makes network namespaces\nnext: Run it as root.", err=True)
        sys.exit(5)
    try:
        yield
    except (LabError, RuntimeError) as error:
        click.echo(
            f"error: LAB: {error}\nnext: See `weft lab status`; `weft lab down` takes everything away.", err=True
        )
        sys.exit(1)


def _in_lab(act: Callable[_P, None]) -> Callable[_P, None]:
    @wraps(act)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> None:
        with _told():
            act(*args, **kwargs)

    return told


_folder = click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Where it is kept."
)


@click.group()
def lab() -> None:
    """A fleet on this machine: hosts as namespaces, a real server, real agents, and guests to ping."""


_ROUTINGS = click.Choice(["static", "evpn"])


@lab.command()
@click.option("--hosts", default=3, show_default=True, help="How many.")
@click.option(
    "--routing", type=_ROUTINGS, default="static", show_default=True, help="Who says where ports are: evpn is BGP."
)
@click.option(
    "--gateways", type=click.IntRange(0, 8), default=2, show_default=True, help="How many lead to a pretend internet."
)
@_folder
@_in_lab
def up(hosts: int, routing: str, gateways: int, folder: Path) -> None:
    """Make it: a server, hosts that join, and on each host a guest of two tenants that have the same addresses.

    \b
    Examples:
      weft lab up
      weft lab up --hosts 5
      weft lab up --routing evpn
    """
    there = Lab(folder)
    there.up(hosts, routing=routing, gateways=gateways, say=click.echo)
    click.echo(f"the API is at {there.address}: export WEFT_SERVER={there.address}")


@lab.command()
@_folder
@_in_lab
def down(folder: Path) -> None:
    """Take everything of the lab away."""
    Lab(folder).down()
    click.echo("nothing of the lab is left")


@lab.command()
@_folder
@_in_lab
def status(folder: Path) -> None:
    """Say which machines are up, which agents run, and which guests there are."""
    there = Lab(folder)
    if not there.is_up:
        click.echo(f"there is no lab in {folder}")
        return
    click.echo(f"server {'runs' if there.runs('server') else 'is dead'}, routing {there.state.routing}")
    for name, host in there.state.hosts.items():
        machine = "up" if there.is_on(name) else "off"
        agent = "runs" if there.runs(name) else "is dead"
        seat = f", {'active' if name in there.active_gateways() else 'not active'}" if host.is_gateway else ""
        click.echo(f"{name} {host.underlay} is {machine}, its agent {agent}{seat}")
    for guest in there.state.guests.values():
        click.echo(f"{guest.name} of {guest.project} on {guest.host} has {guest.address}")
    for one, other in there.state.cuts:
        click.echo(f"nothing passes between {one} and {other}")


@lab.command()
@click.argument("source")
@click.argument("destination")
@_folder
@_in_lab
def ping(source: str, destination: str, folder: Path) -> None:
    """Ping from a guest to another guest, or to an address; exit code 1 when nobody answers."""
    answered = Lab(folder).ping(source, destination)
    click.echo(f"{source} -> {destination}: {'an answer' if answered else 'no answer'}")
    sys.exit(0 if answered else 1)


@lab.command()
@click.argument("host")
@_folder
@_in_lab
def fail(host: str, folder: Path) -> None:
    """Turn off the power of a host: its namespaces, its guests and its agent are gone at once."""
    Lab(folder).fail(host)
    click.echo(f"{host} is off")


@lab.command()
@click.argument("what", type=click.Choice(["agent", "frr", "server"]))
@click.argument("host", default="")
@_folder
@_in_lab
def kill(what: str, host: str, folder: Path) -> None:
    """SIGKILL to the agent of a host, to its BGP daemon, or to the server.

    \b
    Examples:
      weft lab kill agent h2
      weft lab kill frr h2
      weft lab kill server
    """
    if what == "frr":
        Lab(folder).kill_routing(host)
    else:
        Lab(folder).kill(host if what == "agent" else "server")
    click.echo(f"killed: {what} {host}".rstrip())


@lab.command()
@click.argument("how", type=_ROUTINGS)
@_folder
@_in_lab
def routing(how: str, folder: Path) -> None:
    """Switch all hosts to BGP EVPN, or back, with the network running."""
    Lab(folder).route(how)
    click.echo(f"routing: {how}")


@lab.command()
@click.argument("one")
@click.argument("other")
@_folder
@_in_lab
def cut(one: str, other: str, folder: Path) -> None:
    """Let no packet pass between two machines of the lab; `server` is one."""
    Lab(folder).cut(one, other)
    click.echo(f"nothing passes between {one} and {other}")


@lab.command()
@_folder
@_in_lab
def heal(folder: Path) -> None:
    """Turn on what is off, start what is dead, join what is cut."""
    Lab(folder).heal()
    click.echo("healed")
