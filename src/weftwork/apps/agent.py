"""`weft agent`: run the agent of a host of a fleet, in the foreground."""

import os
import sys
from pathlib import Path

import click

STATE = Path("/var/lib/weftwork/agent")


@click.command()
@click.option("--server", default="", help="Where agents join, HOST:PORT; asked for only until this host has joined.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), default=None, help="What `weft host add` wrote. Good once."
)
@click.option(
    "--state", type=click.Path(path_type=Path), default=STATE, show_default=True, help="Identity and last program."
)
@click.option("--audit", "audit_s", type=float, default=10.0, show_default=True, help="Seconds between full looks.")
def agent(server: str, token_file: Path | None, state: Path, audit_s: float) -> None:
    """Run the agent of this host: it makes this machine what the server says, and reports.

    Without the server it goes on with what it was told last, from its disk after a restart. Ctrl-C or SIGTERM ends the
    process and leaves the network in place.

    \b
    Examples:
      weft agent --server 192.0.2.1:8083 --token-file h1.join
      weft agent
      weft agent --state /srv/weft/agent
    """
    if os.geteuid():
        click.echo("error: NOT_ROOT: weft agent makes network namespaces\nnext: Run it as root.", err=True)
        sys.exit(5)
    from weftwork.apps.host import start

    sys.exit(start(server, token_file, state, audit_s))
