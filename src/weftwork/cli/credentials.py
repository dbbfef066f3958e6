"""What the CLI shows a server: a token of the environment or of the context, or a login that is kept; and over what.

A context's token and a login are for one server each, and go nowhere else. Logins are kept in one file for this user
alone.
"""

import json
import os
import stat
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weftwork.cli.config_files import check_secret
from weftwork.cli.precedence import TLS, Context, Level
from weftwork.cli.problems import ExitCode, Problem
from weftwork.cli.settings import Settings

if TYPE_CHECKING:
    from weftwork.client import Tls

TOKEN = "WEFT_TOKEN"  # noqa: S105
HTTPS = "https://"
FRESH_S = 30
"""A login that ends within this is refreshed first."""
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Login:
    """A login at one server. Both tokens are secrets."""

    issuer: str
    client_id: str
    token_endpoint: str
    access_token: str
    refresh_token: str
    expires_at: float
    ca: str = ""


def kept_in() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(home) / "weft/logins.json"


def login_at(server: str) -> Login | None:
    found = _read().get(server)
    return Login(**found) if found else None


def keep(server: str, login: Login | None) -> None:
    """For this user alone, from its first byte; None forgets it."""
    logins = _read()
    if login is None:
        logins.pop(server, None)
    else:
        logins[server] = asdict(login)
    path = kept_in()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # mode 0600
    with os.fdopen(handle, "w") as file:
        json.dump(logins, file)
    Path(name).replace(path)


def bearer_for(settings: Settings, *, renew: bool = True) -> str:
    """Empty where there is nothing to show: then the server's socket, or its own word, has to do.

    Problem TOKEN_WITHHELD: a token of the environment is for a server that this user has chosen, not for one that some
    checked-out file did. Without `renew` a login that has ended is not shown.
    """
    if token := os.environ.get(TOKEN):
        if settings.server_level is Level.PROJECT_FILE:
            raise Problem(
                ExitCode.DENIED,
                "TOKEN_WITHHELD",
                f"{TOKEN} is not shown to {settings.server}, which {settings.said['context'].place} has chosen",
                hint=f"choose it yourself with --context or WEFT_CONTEXT, or unset {TOKEN}",
            )
        return token
    server = address(settings.server)
    context = settings.context
    if context and address(context.server) == server and (token := _token_of(context)):
        return token
    if server.startswith("unix:"):
        return ""
    login = login_at(server)
    if login is None:
        return ""
    if login.expires_at - FRESH_S < time.time():
        login = refreshed(login) if renew else None
        if renew:
            keep(server, login)
    return login.access_token if login else ""


def shown_by(settings: Settings) -> str:
    """Where what is shown to the server comes from, in words; empty for nothing."""
    if os.environ.get(TOKEN):
        is_withheld = settings.server_level is Level.PROJECT_FILE
        return f"{TOKEN}, which is not shown to a server that a project's file has chosen" if is_withheld else TOKEN
    server, context = address(settings.server), settings.context
    if context and address(context.server) == server and (context.token or context.token_file):
        return f"context {context.name} ({context.token_file or context.place})"
    return f"login at {server}" if not server.startswith("unix:") and login_at(server) else ""


def address(server: str) -> str:
    """A bare path is a socket."""
    return f"unix:{server}" if server.startswith(("/", "./")) else server


def _token_of(context: Context) -> str:
    if not context.token_file:
        return context.token
    path = Path(context.token_file).expanduser()
    try:
        check_secret(path)
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(
            ExitCode.ERROR, "TOKEN_UNREADABLE", f"{path}, the token of context {context.name}: {error}", hint=""
        ) from None


def refreshed(login: Login) -> Login | None:
    """None when the issuer wants the person again."""
    form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token, "client_id": login.client_id}
    status, answer = post(login.token_endpoint, form, login.ca)
    if status != 200:
        return None
    return taken(login, answer)


def taken(login: Login, answer: dict[str, Any]) -> Login:
    """The login with the tokens of an issuer's answer."""
    return replace(
        login,
        access_token=str(answer["access_token"]),
        refresh_token=str(answer.get("refresh_token", login.refresh_token)),
        expires_at=time.time() + float(answer.get("expires_in", 60)),
    )


def post(url: str, form: dict[str, str], ca: str) -> tuple[int, dict[str, Any]]:
    """To an issuer, over verified TLS only. Problem when it does not answer."""
    import ssl

    import httpx

    try:
        if not url.startswith(HTTPS):
            raise ValueError("it is not https")
        verify = ssl.create_default_context(cafile=ca or None)
        with httpx.Client(verify=verify, timeout=TIMEOUT_S) as client:
            answer = client.post(url, data=form)
            return answer.status_code, answer.json()
    except (httpx.HTTPError, ValueError, OSError) as error:
        raise Problem(
            ExitCode.ERROR,
            "ISSUER_UNREACHABLE",
            f"{url} does not answer: {error}",
            hint="is it reachable from here, and is --ca the authority of its certificate?",
        ) from None


def tls_for(settings: Settings) -> "Tls | None":
    """TLS for everything but sockets and this machine's own addresses, and for these when it is asked for."""
    server = address(settings.server)
    host = server.removeprefix(HTTPS).rpartition(":")[0].strip("[]")
    is_asked = server.startswith(HTTPS) or settings.path("ca")
    if server.startswith("unix:") or (_is_here(host) and not is_asked):
        return None
    from weftwork.client import Tls

    return Tls(*(_content(settings, key) for key in TLS))


def _content(settings: Settings, key: str) -> bytes | None:
    path = settings.path(key)
    if not path:
        return None
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        place = settings.said[key].place
        raise Problem(ExitCode.USAGE, "BAD_USAGE", f"{place}: {path}: {error.strerror}", hint="") from None


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _read() -> dict[str, Any]:
    path = kept_in()
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Problem(
                ExitCode.DENIED,
                "LOGINS_EXPOSED",
                f"others may read {path}, which holds logins",
                hint=f"delete it and log in again: rm {path}",
            )
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
