"""Where the database is, and PostgreSQL's errors in our words."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from weftwork.base.errors import Failure

CONNECT_S = 5.0
STATEMENT_S = 20.0
"""Longer than any statement of ours takes where the server is well."""

SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """`dsn` as libpq's (postgresql://USER@HOST:PORT/DATABASE), without the password; our tables are in `schema`.

    With an `authority` the server must show its certificate for the DSN's host; without, the DSN's sslmode counts.
    """

    dsn: str
    schema: str = "weftwork"
    password: str = field(default="", repr=False)
    authority: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    def __str__(self) -> str:
        parts = urlsplit(self.dsn)
        return f"PostgreSQL at {parts.hostname or 'the local socket'}{parts.path}"

    def lock_number(self) -> int:
        """Of the advisory lock under which our tables are made."""
        return 0x57454654

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Raises what `failures` catches."""
        options: dict[str, Any] = {"password": self.password} if self.password else {}
        if self.authority or self.certificate:
            options["ssl"] = self._context()
        return await asyncpg.connect(
            self.dsn,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            server_settings={
                "search_path": self.schema,
                "synchronous_commit": "on",
                "application_name": "weftwork",
                "jit": "off",
                # Who stops in the middle of a batch keeps the others from writing no longer than this.
                "idle_in_transaction_session_timeout": "10s",
            },
            **options,
        )

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority) if self.authority else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate:
            context.load_cert_chain(self.certificate, self.private_key)
        return context


BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
"""Whatever can come of asking a server."""


@contextmanager
def failures(place: PostgresPlace) -> Iterator[None]:
    """Errors as Failure STORE_UNAVAILABLE."""
    try:
        yield
    except BROKEN as error:
        raise failure_of(error, place) from error


def failure_of(error: BaseException, place: PostgresPlace) -> Failure:
    return Failure("STORE_UNAVAILABLE", f"{place}: {str(error) or type(error).__name__}")


def is_passing(error: BaseException) -> bool:
    """Whether another connection, or a moment later, may do: the server is not there, ends, or begins."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        # connection exceptions; shut down, crashed, starting up; too many connections; serialisation, deadlock
        return code[:2] in ("08", "57", "40") or code in ("53300", "55P03")
    return isinstance(error, BROKEN) and not isinstance(error, ssl.SSLError)
