"""Where an OVSDB server listens, in the words of ovsdb(7): `unix:/path`, `tcp:host:port`, `ssl:host:port`."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

MESSAGE_BYTES_MAX = 256 << 20
"""The first answer to a monitor holds whole tables."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. The server must have a certificate of `authority`; OVSDB's certificates name no hosts."""

    certificate: Path
    private_key: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.private_key)
        return context


@dataclass(frozen=True, slots=True)
class Endpoint:
    scheme: str
    place: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.place}"

    async def open(self, tls: Tls | None) -> Stream:
        """Raises OSError (ssl.SSLError is one)."""
        match self.scheme:
            case "unix":
                return await asyncio.open_unix_connection(self.place, limit=MESSAGE_BYTES_MAX)
            case "tcp" | "ssl":
                host, _, port = self.place.rpartition(":")
                context = tls.context() if tls and self.scheme == "ssl" else None
                return await asyncio.open_connection(host.strip("[]"), int(port), ssl=context, limit=MESSAGE_BYTES_MAX)
        raise AssertionError(f"no scheme {self.scheme}")


def parse_endpoints(text: str) -> tuple[Endpoint, ...]:
    """One or more with commas between. ValueError says what is wrong."""
    return tuple(_parse(part.strip()) for part in text.split(","))


def _parse(text: str) -> Endpoint:
    scheme, _, place = text.partition(":")
    if scheme == "unix" and place.startswith("/"):
        return Endpoint(scheme, place)
    host, _, port = place.rpartition(":")
    if scheme in ("tcp", "ssl") and host and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535:
        return Endpoint(scheme, place)
    raise ValueError(f"{text!r} is not unix:/path, tcp:HOST:PORT or ssl:HOST:PORT")
