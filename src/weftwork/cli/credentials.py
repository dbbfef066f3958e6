"""What the CLI shows a server: an API token of the environment, or a login that is kept and refreshed; and over what.

Logins are kept in one file for this user alone.
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

from weftwork.cli.problems import ExitCode, Problem

if TYPE_CHECKING:
    from weftwork.client.client import Tls

TOKEN = "WEFT_TOKEN"  # noqa: S105
CA = "WEFT_CA"
CERTIFICATE = "WEFT_CERTIFICATE"
KEY = "WEFT_KEY"
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


def bearer_for(server: str) -> str:
    """Empty where there is nothing to show: then the server's socket, or its own word, has to do."""
    if token := os.environ.get(TOKEN):
        return token
    if server.startswith("unix:"):
        return ""
    login = login_at(server)
    if login is None:
        return ""
    if login.expires_at - FRESH_S < time.time():
        login = refreshed(login)
        keep(server, login)
    return login.access_token if login else ""


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


def tls_for(server: str) -> "Tls | None":
    """TLS for everything but sockets and this machine's own addresses, and for these when it is asked for."""
    from weftwork.client.client import Tls

    host = server.removeprefix(HTTPS).rpartition(":")[0].strip("[]")
    is_asked = server.startswith(HTTPS) or CA in os.environ
    if server.startswith("unix:") or (_is_here(host) and not is_asked):
        return None
    ca, certificate, key = (_content(name) for name in (CA, CERTIFICATE, KEY))
    return Tls(ca, certificate, key)


def _content(variable: str) -> bytes | None:
    path = os.environ.get(variable)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Problem(ExitCode.USAGE, "BAD_USAGE", f"{variable}: {path}: {error.strerror}", hint="") from None


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
