"""The server's entrance, put together from its settings."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from weftwork.access.caller import Principal
from weftwork.access.claims import PATHS, ClaimsMapping, parse_mapping
from weftwork.access.limits import Limits
from weftwork.actions.network import Network
from weftwork.actions.tokens import TokenBook
from weftwork.api.entrance import Entrance
from weftwork.api.guard import Guard, Throttle
from weftwork.api.identity.bearers import Bearers
from weftwork.api.refusals import RefusalLog
from weftwork.api.tls import Certificates, TlsFiles
from weftwork.apps.settings import Settings

if TYPE_CHECKING:
    from weftwork.api.identity.desk import LoginDesk
    from weftwork.api.identity.logins import Logins


@asynccontextmanager
async def open_entrance(settings: Settings, network: Network) -> AsyncIterator[Entrance]:
    """Failures TLS_UNAVAILABLE, STORE_UNAVAILABLE."""
    logins, desk = _logins(settings)
    tokens = TokenBook(network.clock)
    refusals = RefusalLog(network)
    tls = _certificates(settings)
    guard = Guard(
        Bearers(tokens, logins),
        is_open=settings.access_login == "auto" and logins is None and tls is None,
        certificates={
            name: Principal(f"certificate {name}", grants)
            for name, grants in parse_mapping(settings.access_certificates).items()
        },
        throttle=Throttle(
            Limits(settings.access_calls_per_s, int(2 * settings.access_calls_per_s), settings.access_calls_in_flight),
            time.monotonic,
        ),
    )
    await tokens.start(network.store)
    writing = asyncio.create_task(refusals.run(), name="refusals")
    try:
        yield Entrance(guard, tokens, desk, refusals, tls)
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await refusals.flush()
        await tokens.close()


def _logins(settings: Settings) -> "tuple[Logins | None, LoginDesk | None]":
    """A server without an issuer starts without what signatures and HTTPS take."""
    if not settings.access_oidc_issuer:
        return None, None
    from weftwork.api.identity.desk import LoginDesk
    from weftwork.api.identity.issuer import Issuer, fetcher
    from weftwork.api.identity.logins import LoginRules, Logins

    ca = Path(settings.access_oidc_ca) if settings.access_oidc_ca else None
    issuer = Issuer(settings.access_oidc_issuer, fetcher(ca))
    rules = LoginRules(
        audience=settings.access_oidc_audience,
        clients=settings.access_oidc_clients,
        algorithms=settings.access_oidc_algorithms,
        mapping=ClaimsMapping(settings.access_oidc_claims or PATHS, parse_mapping(settings.access_roles)),
    )
    clients = settings.access_oidc_clients
    return Logins(issuer, rules), LoginDesk(issuer, clients[0]) if clients else None


def _certificates(settings: Settings) -> Certificates | None:
    if not settings.server_tls_certificate:
        return None
    client_ca = Path(settings.server_tls_client_ca) if settings.server_tls_client_ca else None
    return Certificates(TlsFiles(Path(settings.server_tls_certificate), Path(settings.server_tls_key), client_ca))
