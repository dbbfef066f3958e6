"""Options that `weft up`, `server`, `down` and `overlay-network-server` share."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from weftwork.apps.settings import Settings, load
from weftwork.base.errors import Refusal

Command = TypeVar("Command", bound=Callable[..., object])

DEFAULT_FILE = Path("/etc/weftwork/weft.toml")

_OPTIONS: tuple[tuple[str, str, str], ...] = (
    ("--listen-addr", "server_listen_addr", "TCP address of the API, HOST:PORT; empty for none."),
    ("--socket", "server_socket", "Unix socket of the API; empty for none."),
    ("--rest-listen", "server_rest_listen_addr", "TCP address of the REST API; empty for none."),
    ("--rest-socket", "server_rest_socket", "Unix socket of the REST API; empty for none."),
    ("--agents-listen", "server_agents_listen_addr", "TCP address where agents of other hosts join; empty for none."),
    ("--routing", "network_routing", "Of a fleet: static (the server says where ports are), or evpn (BGP does)."),
    ("--store", "storage_path", "Where the state is kept, with SQLite."),
    ("--store-backend", "storage_backend", "sqlite (a file of this machine's), etcd or postgres."),
    ("--etcd-endpoints", "storage_etcd_endpoints", "Members of etcd, http(s)://HOST:PORT with commas between."),
    ("--postgres-dsn", "storage_postgres_dsn", "postgresql://USER@HOST/DATABASE, without the password."),
    ("--backend", "network_backend", "linux (the kernel's bridges and nftables) or ovn (Open Virtual Network)."),
    (
        "--ovn-nb-endpoint",
        "network_ovn_northbound_endpoint",
        "Northbound of an OVN that is there, such as unix:/run/ovn/ovnnb_db.sock; empty for one of our own.",
    ),
    ("--layout", "network_layout", "bridges (one per subnet) or vlan (one VLAN-filtering bridge per VPC)."),
    (
        "--external-cidr",
        "network_external_cidrs",
        "Networks of external addresses, for NAT; with commas between several.",
    ),
    ("--external-bridge", "network_external_bridge", "Your bridge to the external network; empty: one of ours."),
    ("--gateway-address", "network_gateway_address", "A fleet's: what the active gateway has in the underlay."),
    ("--external-gateway", "network_external_gateway", "The external network's router."),
)


def node_options(command: Command) -> Command:
    """The options of a node; every one is also a setting of the file and the environment."""
    for flag, name, text in reversed(_OPTIONS):
        command = click.option(flag, name, default=None, help=text)(command)
    config = click.option(
        "--config", type=click.Path(path_type=Path), default=None, help=f"TOML file; {DEFAULT_FILE} when it exists."
    )
    return config(command)


def settings_from(config: Path | None, flags: Mapping[str, str | None]) -> Settings:
    """The settings in force, or the end of the program with one clear sentence (exit code 2)."""
    file = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    try:
        return load(file, flags=flags, spelled=_spelled(click.get_current_context()))
    except Refusal as refusal:
        click.echo(f"error: {refusal}\nnext: {refusal.hint}", err=True)
        sys.exit(2)


def _spelled(context: click.Context) -> dict[str, str]:
    return {param.name: param.opts[0] for param in context.command.params if param.name}
