"""`overlay-network-server`: the network API's server under the name and with the flags of its specification (N §10)."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from weftwork.apps.launch import launch
from weftwork.apps.options import settings_from


@click.command()
@click.option("--config", type=click.Path(path_type=Path), default=None, help="Config file path.")
@click.option("--ovn-nb-endpoint", "network_ovn_northbound_endpoint", default=None, help="OVN Northbound endpoint.")
@click.option("--ovn-sb-endpoint", "network_ovn_southbound_endpoint", default=None, help="OVN Southbound endpoint.")
@click.option("--chainfire-endpoint", "storage_chainfire_endpoint", default=None, help="ChainFire endpoint.")
@click.option("--listen-addr", "server_listen_addr", default=None, help="gRPC listen address.")
def main(config: Path | None, **flags: str | None) -> None:
    """Overlay network API server."""
    settings = settings_from(config, flags)
    if settings.network_ovn_northbound_endpoint:
        # The specification knows no other data plane.
        settings = replace(settings, network_backend="ovn")
    sys.exit(launch(settings, with_agent=False))


if __name__ == "__main__":
    main()
