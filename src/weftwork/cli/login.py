"""`weft login`, `logout` and `whoami`: OpenID Connect's device flow, so that a terminal anywhere will do."""

import time

import click

from weftwork.cli.command import Command
from weftwork.cli.credentials import Login, address, keep, login_at, post, taken
from weftwork.cli.document import fields_of
from weftwork.cli.output import is_text, print_data
from weftwork.cli.problems import ExitCode, Problem, printable
from weftwork.cli.session import connected
from weftwork.cli.settings import current

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_S = 5


@click.command(
    cls=Command,
    examples=("weft login", "weft login --server api.example.net:8081", "weft login --ca /etc/ssl/issuer.pem"),
)
@click.option(
    "--ca", default="", metavar="FILE", help="The authority of the issuer's certificate, if not the system's."
)
async def login(ca: str) -> None:
    """Log in at the server's identity provider.

    Shows an address and a code to confirm in any browser, and keeps the login for this user alone.
    """
    server = address(current().server)
    async with connected(bearer="") as session:
        where = await session.client.access.get_login()
    if not where.issuer:
        raise Problem(
            ExitCode.ERROR,
            "NO_LOGINS",
            f"the server at {server} has no identity provider",
            hint="use its socket, or an API token: WEFT_TOKEN",
        )
    form = {"client_id": where.client_id, "scope": where.scope}
    status, device = post(where.device_authorization_endpoint, form, ca)
    if status != 200:
        raise _refused(str(device.get("error", status)))
    shown = device.get("verification_uri_complete") or device["verification_uri"]
    click.echo(f"Open {printable(str(shown))} and confirm the code {printable(str(device['user_code']))}.", err=True)
    empty = Login(where.issuer, where.client_id, where.token_endpoint, "", "", 0.0, ca)
    got = await _confirmed(empty, device)
    keep(server, got)
    async with connected() as session:
        me = await session.client.access.who_am_i()
    click.echo(f"logged in as {printable(me.name)} with {', '.join(me.grants) or 'no role'}", err=True)


async def _confirmed(empty: Login, device: dict[str, object]) -> Login:
    import asyncio

    interval_s = float(str(device.get("interval", 5)))
    until = time.monotonic() + float(str(device.get("expires_in", 600)))
    form = {"grant_type": GRANT, "device_code": str(device["device_code"]), "client_id": empty.client_id}
    while time.monotonic() < until:
        status, answer = await asyncio.to_thread(post, empty.token_endpoint, form, empty.ca)
        if status == 200:
            return taken(empty, answer)
        match answer.get("error"):
            case "authorization_pending":
                pass
            case "slow_down":
                interval_s += SLOWER_S
            case error:
                raise _refused(str(error))
        await asyncio.sleep(interval_s or 0.05)
    raise _refused("expired_token")


def _refused(error: str) -> Problem:
    return Problem(
        ExitCode.DENIED, "LOGIN_REFUSED", f"the identity provider says {printable(error)}", hint="weft login, again"
    )


@click.command(
    cls=Command,
    examples=("weft logout", "weft logout --server api.example.net:8081", "weft logout --server https://10.0.0.1:8081"),
)
def logout() -> None:
    """Forget the login at the server."""
    server = address(current().server)
    if login_at(server) is None:
        click.echo(f"there was no login at {server}", err=True)
        return
    keep(server, None)
    click.echo(f"forgot the login at {server}", err=True)


@click.command(
    cls=Command, examples=("weft whoami", "weft whoami -o json", "weft whoami --server api.example.net:8081")
)
async def whoami() -> None:
    """Say who the server takes you for, and which roles you have."""
    async with connected() as session:
        me = fields_of(await session.client.access.who_am_i())
    if not is_text():
        print_data(me)
        return
    print(printable(me["name"]))
    for grant in me["grants"]:
        print(f"  {grant}")
