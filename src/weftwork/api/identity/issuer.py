"""An issuer's keys, fetched over verified TLS and kept: they rotate without a restart, and nobody makes us ask
more often than we want to.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from weftwork.base import codes
from weftwork.base.errors import Refusal

KEPT_S = 600.0
"""How long keys are used before the issuer is asked again."""
PAUSE_S = 30.0
"""How long after asking, whatever came of it, the issuer is not asked again, for unknown keys or after failures."""
ANSWER_BYTES_MAX = 256 * 1024
TIMEOUT_S = 5.0
RSA_BITS_MIN = 2048
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""By the first two letters of an algorithm: none of them works with a secret that both sides share."""
_DISCOVERY = "/.well-known/openid-configuration"

Fetch = Callable[[str], Awaitable[Any]]
"""A JSON document by its URL."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What an issuer says of itself."""

    keys: str
    token: str
    device: str


class Issuer:
    """One issuer's endpoints and keys. `generation` counts the sets of keys that were seen."""

    def __init__(self, url: str, fetch: Fetch, now_s: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self.generation = 0
        self._fetch = fetch
        self._now_s = now_s
        self._endpoints: Endpoints | None = None
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at_s = float("-inf")
        self._asked_at_s = float("-inf")
        self._asking = asyncio.Lock()

    async def key(self, kid: str, algorithm: str) -> jwt.PyJWK:
        """Refusals NOT_AUTHENTICATED, IDENTITY_PROVIDER_UNAVAILABLE when no keys were ever seen."""
        if kid not in self._keys or not self.is_fresh:
            await self._refresh()
        key = self._keys.get(kid)
        if key is None or not _fits(key, algorithm):
            raise codes.NOT_AUTHENTICATED.refusal("the login is signed with a key that its issuer does not have")
        return key

    @property
    def is_fresh(self) -> bool:
        """Whether the keys are as the issuer has them, as far as one can know without asking."""
        return self._now_s() - self._fetched_at_s <= KEPT_S

    async def endpoints(self) -> Endpoints:
        """Refusal IDENTITY_PROVIDER_UNAVAILABLE."""
        if self._endpoints is None:
            await self._refresh()
        if self._endpoints is None:
            raise _unavailable(self.url)
        return self._endpoints

    async def _refresh(self) -> None:
        """Once for all who wait. What is known stays while the issuer does not answer."""
        seen = self._asked_at_s
        async with self._asking:
            if self._asked_at_s != seen or self._now_s() - self._asked_at_s < PAUSE_S:
                if not self._keys:
                    raise _unavailable(self.url)
                return
            self._asked_at_s = self._now_s()
            try:
                self._endpoints = _endpoints(self.url, await self._fetch(self.url.rstrip("/") + _DISCOVERY))
                keys = _usable(await self._fetch(self._endpoints.keys))
            except (httpx.HTTPError, ValueError) as error:
                if not self._keys:
                    raise _unavailable(self.url) from error
                return
            self._fetched_at_s = self._now_s()
            if keys.keys() != self._keys.keys():
                self.generation += 1
            self._keys = keys


def fetcher(ca: Path | None) -> Fetch:
    """Over TLS only, verified by the system's authorities or by one of the operator's."""
    context = ssl.create_default_context(cafile=str(ca) if ca else None)

    async def fetch(url: str) -> Any:
        if not url.startswith("https://"):
            raise ValueError(f"{url} is not https")
        body = b""
        async with (
            httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            response.raise_for_status()
            async for some in response.aiter_bytes():
                body += some
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError(f"{url} answers more than {ANSWER_BYTES_MAX} bytes")
        return httpx.Response(200, content=body).json()

    return fetch


def _endpoints(issuer: str, found: Any) -> Endpoints:
    """An issuer that calls itself otherwise is not the one that was configured."""
    if not isinstance(found, Mapping) or found.get("issuer") != issuer:
        raise ValueError("the discovery document is another issuer's")
    endpoints = Endpoints(
        *(str(found.get(name, "")) for name in ("jwks_uri", "token_endpoint", "device_authorization_endpoint"))
    )
    if not endpoints.keys.startswith("https://"):
        raise ValueError("the issuer's keys are not at an https address")
    return endpoints


def _usable(found: Any) -> Mapping[str, jwt.PyJWK]:
    """Public keys for signatures, by id; what we do not know is skipped, so that new kinds of keys break nothing."""
    keys: dict[str, jwt.PyJWK] = {}
    listed = found.get("keys") if isinstance(found, Mapping) else None
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, Mapping) or one.get("use", "sig") != "sig" or one.get("kty") not in KEY_TYPES.values():
            continue
        try:
            key = jwt.PyJWK.from_dict(dict(one))
        except jwt.PyJWTError:
            continue
        declared = one.get("alg", key.algorithm_name)
        if declared != key.algorithm_name:
            continue
        if key.key_id and getattr(key.key, "key_size", RSA_BITS_MIN) >= (RSA_BITS_MIN if one["kty"] == "RSA" else 0):
            keys[key.key_id] = key
    if not keys:
        raise ValueError("the issuer has no usable key")
    return keys


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """The key's kind is the algorithm's, and so is the algorithm that the issuer says the key is for."""
    return KEY_TYPES.get(algorithm[:2]) == key.key_type and key.algorithm_name == algorithm


def _unavailable(url: str) -> Refusal:
    return codes.IDENTITY_PROVIDER_UNAVAILABLE.refusal(f"{url} does not answer, so no login can be checked")
