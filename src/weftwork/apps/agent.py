"""`weft agent`: run the agent of a host, in the foreground."""

import os
import sys
from ipaddress import IPv4Address
from pathlib import Path

import click

STATE = Path("/var/lib/weftwork/agent")
SOCKET = "agent.sock"

_PATH: click.ParamType[Path] = click.Path(path_type=Path)


@click.command()
@click.option("--server", default="", help="Where agents join, HOST:PORT; asked for only until this host has joined.")
@click.option("--token-file", type=_PATH, default=None, help="What `weft host add` wrote. Good once.")
@click.option("--state", type=_PATH, default=STATE, show_default=True, help="Identity and last program.")
@click.option("--audit", "audit_s", type=float, default=10.0, show_default=True, help="Seconds between full looks.")
@click.option("--alone", is_flag=True, help="There is no server: all is asked for at this host's own interface.")
@click.option("--socket", default="", metavar="PATH", help="Where that listens.  [default: agent.sock in --state]")
@click.option("--no-socket", is_flag=True, help="Nobody asks for networks at this host.")
@click.option(
    "--allow-user", multiple=True, metavar="NAME", help="Who may come by the socket, beside root. Repeatable."
)
@click.option("--listen", default="", metavar="HOST:PORT", help="Listen there as well, with mTLS.")
@click.option("--tls-certificate", type=_PATH, default=None, help="Of --listen, in PEM.")
@click.option("--tls-key", type=_PATH, default=None, help="Of --listen, in PEM.")
@click.option(
    "--tls-clients", type=_PATH, default=None, help="Who may come by --listen: what signed their certificates."
)
@click.option("--underlay", default="", metavar="ADDRESS", help="Of this host: what stacks that span hosts send from.")
@click.option("--underlay-mtu", type=click.IntRange(1280, 65535), default=1500, show_default=True, help="In bytes.")
def agent(
    server: str,
    token_file: Path | None,
    state: Path,
    audit_s: float,
    alone: bool,
    socket: str,
    no_socket: bool,
    allow_user: tuple[str, ...],
    listen: str,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_clients: Path | None,
    underlay: str,
    underlay_mtu: int,
) -> None:
    """Run the agent of this host: it makes this machine what the server says, and reports.

    Without the server it goes on with what it was told last, from its disk after a restart. What is asked for at its
    own interface (`weft stack`, `weft nic`, `weft router`) stands beside that. Ctrl-C or SIGTERM ends the process and
    leaves the network in place.

    \b
    Examples:
      weft agent --server 192.0.2.1:8083 --token-file h1.join
      weft agent
      weft agent --alone --socket /run/weftwork/agent.sock --allow-user vmm
    """
    if os.geteuid():
        click.echo("error: NOT_ROOT: weft agent makes network namespaces\nnext: Run it as root.", err=True)
        sys.exit(5)
    if alone and (server or token_file):
        raise click.UsageError("--alone is for a host without a server")
    from weftwork.api.host.doors import MutualTls
    from weftwork.apps.host import HostSettings, start
    from weftwork.apps.host_interface import Interface

    tls = None
    if listen:
        if not (tls_certificate and tls_key and tls_clients):
            raise click.UsageError("--listen needs --tls-certificate, --tls-key and --tls-clients")
        tls = MutualTls(listen, tls_certificate, tls_key, tls_clients)
    place = Path(socket) if socket else state / SOCKET
    interface = Interface(place.absolute(), allow_user, tls, _address(underlay), underlay_mtu)
    how = HostSettings(
        state=state,
        server=server,
        token_file=token_file,
        audit_s=audit_s,
        is_alone=alone,
        interface=None if no_socket else interface,
    )
    sys.exit(start(how))


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text) if text else None
    except ValueError:
        raise click.UsageError(f"{text!r} is not an IPv4 address") from None
