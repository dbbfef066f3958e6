"""Logins: access tokens that an OpenID Connect issuer has signed, believed only when everything about them is right."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt

from weftwork.access.caller import Principal
from weftwork.access.claims import ClaimsMapping
from weftwork.api.identity.algorithms import ALGORITHMS
from weftwork.api.identity.issuer import Issuer
from weftwork.base import codes
from weftwork.base.errors import Refusal

LEEWAY_S = 30
KNOWN_MAX = 4096
"""Logins that were checked and need not be again before they end, or the issuer's keys change."""
NAME_MAX = 128
_ACCESS_TOKEN = ("at+jwt", "application/at+jwt")
_REQUIRED = ("iss", "aud", "exp", "iat", "sub")


@dataclass(frozen=True, slots=True)
class LoginRules:
    """`audience` is our name at the issuer; `clients` may ask for tokens for us (`azp`)."""

    audience: str = "weftwork"
    clients: tuple[str, ...] = ("weft",)
    algorithms: tuple[str, ...] = ALGORITHMS
    mapping: ClaimsMapping = field(default_factory=ClaimsMapping)


class Logins:
    def __init__(self, issuer: Issuer, rules: LoginRules, now_s: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.rules = rules
        self._now_s = now_s
        self._known: OrderedDict[bytes, tuple[int, Principal]] = OrderedDict()

    async def principal(self, bearer: str) -> Principal:
        """Refusals NOT_AUTHENTICATED, IDENTITY_PROVIDER_UNAVAILABLE."""
        digest = sha256(bearer.encode()).digest()
        generation, principal = self._known.get(digest, (-1, None))
        is_known = principal is not None and generation == self.issuer.generation and self.issuer.is_fresh
        if principal is not None and is_known and principal.expires_s > self._now_s():
            return principal
        principal = await self._checked(bearer)
        self._known[digest] = (self.issuer.generation, principal)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return principal

    def is_valid(self, principal: Principal) -> bool:
        return principal.expires_s + LEEWAY_S > self._now_s()

    async def _checked(self, bearer: str) -> Principal:
        header = _header(bearer)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self.rules.algorithms or not isinstance(kid, str):
            raise _refusal("it is not signed in a way that is accepted")
        if "crit" in header:
            raise _refusal("it asks for extensions that are not known")
        key = await self.issuer.key(kid, algorithm)
        claims = self._decoded(bearer, key, algorithm)
        self._check_kind(header, claims)
        return _principal(claims, self.rules.mapping)

    def _decoded(self, bearer: str, key: jwt.PyJWK, algorithm: str) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                bearer,
                key.key,
                algorithms=[algorithm],
                audience=self.rules.audience,
                issuer=self.issuer.url,
                leeway=LEEWAY_S,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise _refusal("it has expired") from None
        except jwt.InvalidAudienceError:
            raise _refusal(f"it is not for {self.rules.audience}") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _refusal("it is not valid") from None

    def _check_kind(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
        """An access token, and not an ID or a refresh token, which the same issuer signs with the same key."""
        typ = str(header.get("typ", "")).lower()
        if typ not in _ACCESS_TOKEN and (typ not in ("", "jwt") or claims.get("typ") != "Bearer"):
            raise _refusal("it is no access token")
        if claims.get("azp", claims.get("client_id")) not in self.rules.clients:
            raise _refusal("it was given to a client that may not use this server")


def _header(bearer: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(bearer)
    except jwt.PyJWTError:
        raise _refusal("it is neither a login nor an API token") from None


def _principal(claims: Mapping[str, Any], mapping: ClaimsMapping) -> Principal:
    subject, name = str(claims["sub"]), claims.get("preferred_username")
    shown = f"{name} ({subject})" if isinstance(name, str) and name else subject
    if not shown.isprintable():
        raise _refusal("its subject cannot be printed")
    return Principal(shown[:NAME_MAX], mapping.grants(claims), int(claims["exp"]))


def _refusal(why: str) -> Refusal:
    return codes.NOT_AUTHENTICATED.refusal(f"the login cannot be believed: {why}")
