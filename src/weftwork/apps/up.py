"""`weft up`: run this machine's server and agent in the foreground."""

import os
import sys
from pathlib import Path

import click

from weftwork.apps.launch import launch
from weftwork.apps.options import node_options, settings_from


@click.command()
@node_options
@click.option(
    "--adopt",
    multiple=True,
    metavar="DEPLOYMENT",
    help="Take over what stands here for another deployment, by its id, or `unmarked`; may be given several times.",
)
def up(config: Path | None, adopt: tuple[str, ...], **flags: str | None) -> None:
    """Run the server and the agent of this machine, in the foreground.

    Ctrl-C or SIGTERM ends the process and leaves the network in place: guests go on, and the next `weft up` takes
    over without losing a packet. `weft down` takes everything off the machine.

    What stands here for another deployment (a store of another installation) is never touched: the start is refused,
    unless --adopt names it. Then it is this store's, and what this store does not ask for is removed.

    \b
    Examples:
      weft up
      weft up --external-cidr 203.0.113.0/24 --external-gateway 203.0.113.1
      weft up --config /etc/weftwork/weft.toml
      weft up --adopt 4b0c9e2f71aa
    """
    settings = settings_from(config, flags)
    if os.geteuid():
        click.echo("error: NOT_ROOT: weft up makes network namespaces\nnext: Run it as root, e.g. with sudo.", err=True)
        sys.exit(5)
    sys.exit(launch(settings, with_agent=True, adopts=adopt))
