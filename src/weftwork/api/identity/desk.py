"""Where people log in for this server: what `weft login` asks before anybody is known."""

from dataclasses import dataclass

from weftwork.api.identity.issuer import Issuer

SCOPE = "openid offline_access"


@dataclass(frozen=True, slots=True)
class WhereToLogIn:
    issuer: str
    client: str
    scope: str
    token: str
    device: str


@dataclass(frozen=True, slots=True)
class LoginDesk:
    """`client` is the CLI's name at the issuer."""

    issuer: Issuer
    client: str

    async def endpoints(self) -> WhereToLogIn:
        """Refusal IDENTITY_PROVIDER_UNAVAILABLE."""
        found = await self.issuer.endpoints()
        return WhereToLogIn(self.issuer.url, self.client, SCOPE, found.token, found.device)
