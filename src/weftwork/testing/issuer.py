"""An OpenID Connect issuer of our own, over TLS, that speaks as Keycloak does: discovery, keys, logins, refresh."""

import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from weftwork.testing.certificates import Authority, Pair

CLIENT = "weft"
AUDIENCE = "weftwork"


@dataclass(slots=True)
class TestIssuer:
    """`asked` counts requests by path. `approved` says whether the person has confirmed the device."""

    __test__ = False

    url: str
    ca: Authority
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    is_down: bool = False
    called: str = ""
    """What it calls itself, if not its URL."""
    claims: dict[str, Any] = field(default_factory=dict)
    """What logins by the device flow say beside who it is."""
    approved: threading.Event = field(default_factory=threading.Event)
    refused: bool = False
    lifetime_s: int = 300
    refreshes: set[str] = field(default_factory=set)

    def rotate(self) -> None:
        """One new key, and none of the old ones."""
        self.keys = {uuid4().hex[:8]: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def token(
        self,
        *,
        key: Any = None,
        kid: str = "",
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """An access token as Keycloak makes it, with claims changed, or with None left out."""
        if not self.keys:
            self.rotate()
        newest = next(reversed(self.keys))
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "f1a2",
            "aud": [AUDIENCE, "account"],
            "azp": CLIENT,
            "typ": "Bearer",
            "iat": now,
            "exp": now + self.lifetime_s,
            "preferred_username": "ada",
            "realm_access": {"roles": ["offline_access", "weft:operator@acme/web"]},
        } | changed
        headers = {"kid": kid or newest, "typ": "JWT"} | (header or {})
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            self.keys[newest] if key is None else key,
            algorithm=algorithm,
            headers={name: value for name, value in headers.items() if value is not None},
        )

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        self.asked[path] += 1
        if self.is_down:
            return 503, {}
        match path:
            case "/realms/weft/.well-known/openid-configuration":
                return 200, self._discovery()
            case "/realms/weft/certs":
                return 200, {"keys": [_jwk(kid, key) for kid, key in self.keys.items()]}
            case "/realms/weft/device":
                return 200, {
                    "device_code": "d-1",
                    "user_code": "WXYZ-1234",
                    "verification_uri": f"{self.url}/device",
                    "verification_uri_complete": f"{self.url}/device?user_code=WXYZ-1234",
                    "expires_in": 60,
                    "interval": 0,
                }
            case "/realms/weft/token":
                return self._token(form)
        return 404, {}

    def _discovery(self) -> dict[str, str]:
        return {
            "issuer": self.called or self.url,
            "jwks_uri": f"{self.url}/certs",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
        }

    def _token(self, form: dict[str, str]) -> tuple[int, Any]:
        if form.get("client_id") != CLIENT:
            return 400, {"error": "invalid_client"}
        if form.get("grant_type") == "refresh_token":
            if form.get("refresh_token") not in self.refreshes:
                return 400, {"error": "invalid_grant"}
            self.refreshes.discard(form["refresh_token"])
        elif self.refused:
            return 400, {"error": "access_denied"}
        elif not self.approved.is_set():
            return 400, {"error": "authorization_pending"}
        refresh = uuid4().hex
        self.refreshes.add(refresh)
        return 200, {
            "access_token": self.token(**self.claims),
            "refresh_token": refresh,
            "expires_in": self.lifetime_s,
            "token_type": "Bearer",
        }


@contextmanager
def issuing(ca: Authority) -> Iterator[TestIssuer]:
    """Listens on loopback until the end."""
    pair = ca.issue("issuer", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.socket = _tls(pair).wrap_socket(server.socket, server_side=True)
    issuer = TestIssuer(f"https://127.0.0.1:{server.server_address[1]}/realms/weft", ca)
    issuer.rotate()
    _Handler.issuers[server.server_address[1]] = issuer
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    issuers: dict[int, TestIssuer] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._answer({name: values[0] for name, values in parse_qs(body).items()})

    def _answer(self, form: dict[str, str]) -> None:
        status, told = self.issuers[self.server.server_address[1]].answer(self.path, form)  # type: ignore[index]
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is counted."""


def _tls(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def _jwk(kid: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "RS256"}
