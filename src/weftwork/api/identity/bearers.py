"""Whoever a bearer token is: an API token of ours, or a login, if the server has an issuer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weftwork.access.caller import Principal
from weftwork.actions.tokens import TokenBook
from weftwork.base import codes

if TYPE_CHECKING:
    from weftwork.api.identity.logins import Logins


@dataclass(frozen=True, slots=True)
class Bearers:
    tokens: TokenBook
    logins: "Logins | None" = None

    async def principal(self, bearer: str) -> Principal:
        """Refusals NOT_AUTHENTICATED, IDENTITY_PROVIDER_UNAVAILABLE."""
        known = self.tokens.principal(bearer)
        if known is not None:
            return known
        if self.logins is None:
            raise codes.NOT_AUTHENTICATED.refusal("that is no API token, and this server knows no logins")
        return await self.logins.principal(bearer)

    def is_valid(self, principal: Principal) -> bool:
        if principal.token:
            return self.tokens.is_valid(principal)
        return self.logins is None or not principal.expires_s or self.logins.is_valid(principal)
