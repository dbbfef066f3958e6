"""API tokens for machines: made, listed, revoked; and the book of all that are in force, which follows the store.

The secret is told once, to whoever makes the token. The store has its hash.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from weftwork.access import token as texts
from weftwork.access.caller import Principal
from weftwork.access.decision import check_scope
from weftwork.access.roles import Grant, Role, parse_grant
from weftwork.actions.audit import AccessChange, record_of
from weftwork.actions.network import Network
from weftwork.actions.words import check_description
from weftwork.base import codes
from weftwork.base.errors import Failure
from weftwork.model import keys
from weftwork.seams.clock import Clock
from weftwork.seams.store import Compacted, Conflict, Put, Remove, Store, Transaction, Unchanged

LIFETIME_S = 90 * 86_400
LIFETIME_S_MAX = 366 * 86_400
NAME_MAX = 64
TOKENS_MAX = 1000
"""Of one project, or of an organisation beside its projects."""
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Token:
    """`by` is who made it."""

    id: str
    name: str
    grant: Grant
    hash: str
    by: str
    created_at: int
    expires_at: int

    @property
    def public(self) -> dict[str, Any]:
        """What may be told of it, and be in the audit log."""
        return {
            "id": self.id,
            "name": self.name,
            "grant": str(self.grant),
            "created_by": self.by,
            "expires_at": self.expires_at,
        }


class _Row(msgspec.Struct, gc=False):
    name: str
    grant: str
    hash: str
    by: str
    created_at: int
    expires_at: int


_read = msgspec.json.Decoder(_Row).decode


class TokenBook:
    """All tokens of the deployment by id. `start` it before use, `close` it in the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, tuple[Token, int]] = {}
        self._revision = 0
        self._following: asyncio.Task[None] | None = None

    async def start(self, store: Store) -> None:
        await self._read_all(store)
        self._following = asyncio.create_task(self._follow(store), name="tokens")

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    def principal(self, text: str) -> Principal | None:
        """Who the token is; None for what is no token of ours. Refusal NOT_AUTHENTICATED."""
        parts = texts.parts_of(text)
        if parts is None:
            return None
        token, _ = self._tokens.get(parts[0], (None, 0))
        if token is None or not texts.matches(parts[1], token.hash) or token.expires_at <= self._clock.now_s():
            raise codes.NOT_AUTHENTICATED.refusal("the API token is not known, was revoked, or has expired")
        return Principal(f"token {token.name} ({token.id})", (token.grant,), token.expires_at, token.id)

    def is_valid(self, principal: Principal) -> bool:
        return principal.token in self._tokens and principal.expires_s > self._clock.now_s()

    def of_scope(self, org: str, project: str) -> Iterator[tuple[Token, int]]:
        """Those that were given for the project, the organisation or the deployment, and what lies in it."""
        for token, revision in self._tokens.values():
            grant = token.grant
            if org in ("", grant.org) and project in ("", grant.project):
                yield token, revision

    def put(self, token: Token, revision: int) -> None:
        self._tokens[token.id] = (token, revision)

    def remove(self, token_id: str) -> None:
        self._tokens.pop(token_id, None)

    async def _read_all(self, store: Store) -> None:
        found = await store.range(keys.token())
        self._tokens = {
            token.id: (token, record.revision)
            for record in found.records
            if (token := _token(record.key, record.value))
        }
        self._revision = found.revision

    async def _follow(self, store: Store) -> None:
        """A store that is out of reach is asked again: until then, what was known counts, and nothing new."""
        while True:
            try:
                async for change in store.watch(keys.token(), after=self._revision):
                    for event in change.events:
                        token = _token(event.key, event.value) if event.value is not None else None
                        if token is None:
                            self.remove(event.key.rpartition("/")[2])
                        else:
                            self.put(token, change.revision)
                    self._revision = change.revision
                return
            except Compacted:
                await self._read_all(store)
            except Failure:
                await asyncio.sleep(RETRY_S)


async def create_token(
    network: Network, book: TokenBook, *, name: str, grant: Grant, lifetime_s: int = 0
) -> tuple[Token, str]:
    """The token and its text, which is told this once. A token makes no tokens: what one lets in must end with it.

    Refusals ROLE_TOO_LOW, INVALID_ARGUMENT, FIELD_TOO_LONG, QUOTA_EXCEEDED.
    """
    maker = network.principal
    check_scope(maker, grant.org, grant.project, max(Role.ADMIN, grant.role))
    if maker.token:
        raise codes.ROLE_TOO_LOW.refusal("an API token makes no API tokens", hint="Log in as a person.")
    check_description(name)
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise codes.INVALID_ARGUMENT.refusal(f"a token needs a name of 1 to {NAME_MAX} characters", field="name")
    if not 0 <= lifetime_s <= LIFETIME_S_MAX:
        raise codes.INVALID_ARGUMENT.refusal(
            f"a token lives at most {LIFETIME_S_MAX // 86_400} days", field="lifetime_s"
        )
    there = sum((one.grant.org, one.grant.project) == (grant.org, grant.project) for one, _ in book.of_scope("", ""))
    if there >= TOKENS_MAX:
        raise codes.QUOTA_EXCEEDED.refusal(f"there are {TOKENS_MAX} tokens already", resource="token")
    secret = secrets.token_urlsafe(texts.SECRET_BYTES)
    now = network.clock.now_s()
    token = Token(
        id=secrets.token_hex(texts.ID_LENGTH // 2),
        name=name,
        grant=grant,
        hash=texts.hashed(secret),
        by=maker.name,
        created_at=now,
        expires_at=now + (lifetime_s or LIFETIME_S),
    )
    key = keys.token(token.id)
    row = _Row(name, str(grant), token.hash, token.by, token.created_at, token.expires_at)
    change = AccessChange(f"token {token.id}", None, token.public)
    writes = (Put(key, msgspec.json.encode(row)), record_of(network, grant.org, grant.project, change))
    revision = await network.store.commit(Transaction((Unchanged(key, 0),), writes))
    book.put(token, revision)
    return token, texts.written(token.id, secret)


async def revoke_token(network: Network, book: TokenBook, *, org: str, project: str, token_id: str) -> None:
    """From now on; watches that it has open end within a second. Refusal TOKEN_NOT_FOUND."""
    for token, revision in list(book.of_scope(org, project)):
        if token.id != token_id:
            continue
        key = keys.token(token.id)
        change = AccessChange(f"token {token.id}", token.public, None)
        writes = (Remove(key), record_of(network, token.grant.org, token.grant.project, change))
        with suppress(Conflict):  # somebody else has revoked it
            await network.store.commit(Transaction((Unchanged(key, revision),), writes))
        book.remove(token.id)
        return
    raise codes.TOKEN_NOT_FOUND.refusal(f"there is no token {token_id!r}")


def list_tokens(book: TokenBook, *, org: str, project: str) -> list[Token]:
    """By their names. What has expired is listed until it is revoked."""
    return sorted((token for token, _ in book.of_scope(org, project)), key=lambda one: (one.name, one.id))


def _token(key: str, value: bytes) -> Token | None:
    """None for what cannot be read: it lets nobody in."""
    try:
        row = _read(value)
        grant = parse_grant(row.grant)
    except (msgspec.DecodeError, ValueError):
        return None
    return Token(key.rpartition("/")[2], row.name, grant, row.hash, row.by, row.created_at, row.expires_at)
