"""`weft server`: run the API server alone, in the foreground."""

import sys
from pathlib import Path

import click

from weftwork.apps.launch import launch
from weftwork.apps.options import node_options, settings_from


@click.command()
@node_options
def server(config: Path | None, **flags: str | None) -> None:
    """Run the API server alone: it stores intent, and programs nothing on this machine.

    With a northbound it programs OVN, whose chassis others look after.

    \b
    Examples:
      weft server
      weft server --listen-addr 127.0.0.1:8081 --store ./store.db --socket ""
      weft server --config weft.toml
      weft server --backend ovn --ovn-nb-endpoint tcp:10.0.0.1:6641
    """
    settings = settings_from(config, flags)
    sys.exit(launch(settings, with_agent=False))
