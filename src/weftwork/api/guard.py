"""At the way in: who calls, whether they may, and whether it is not too much. One for all doors."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from weftwork.access.caller import LOCAL, Credentials, Principal, Transport
from weftwork.access.decision import check_fleet, check_project, check_scope
from weftwork.access.limits import Bucket, Limits
from weftwork.access.roles import Role
from weftwork.access.table import TABLE, Rule, Where
from weftwork.api.mutations import MUTATIONS
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.rpc import decode

TENANTS_MAX = 10_000
"""Whose rates are remembered at the same time."""
PLAN = "/weftwork.v1.PlanService/Plan"
LOOK_S = 0.5
"""How long after its token a watch ends at the latest."""
BEARER_MAX = 12 * 1024
FAILED_LOGINS = Limits(calls_per_s=2.0, burst=50)
"""From one address."""
NOBODY = Principal("nobody")
_FREE = nullcontext()

T = TypeVar("T")


class Authenticator(Protocol):
    async def principal(self, bearer: str) -> Principal:
        """Refusal NOT_AUTHENTICATED."""
        ...

    def is_valid(self, principal: Principal) -> bool:
        """Whether what proved it still does: a token is revoked and a login ends while a watch goes on."""
        ...


class NoLogins:
    """Where nobody can log in and no token is known: the socket is the only way in, and loopback, if it is open."""

    async def principal(self, bearer: str) -> Principal:
        raise codes.NOT_AUTHENTICATED.refusal("this server knows no logins and no tokens")

    def is_valid(self, principal: Principal) -> bool:
        return True


@dataclass(slots=True)
class Tenant:
    """What one tenant has going on; entered, one call more."""

    bucket: Bucket
    in_flight: int = 0

    def __enter__(self) -> None:
        self.in_flight += 1

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.in_flight -= 1


@dataclass(slots=True)
class Throttle:
    """Rate and number of calls, by tenant."""

    limits: Limits = field(default_factory=Limits)
    now_s: Callable[[], float] = time.monotonic
    tenants: dict[str, Tenant] = field(default_factory=dict)

    def admit(self, name: str) -> Tenant:
        """Refusal TOO_MANY_REQUESTS, or what counts the call while it lasts."""
        tenant = self._of(name)
        if tenant.in_flight >= self.limits.in_flight:
            raise codes.TOO_MANY_REQUESTS.refusal(f"{self.limits.in_flight} calls and watches of {name} are going on")
        if tenant.bucket.take(self.now_s()):
            rate = f"{self.limits.calls_per_s:g} calls a second"
            raise codes.TOO_MANY_REQUESTS.refusal(f"{name} makes more than {rate}")
        return tenant

    def count(self, name: str) -> None:
        self._of(name).bucket.take(self.now_s())

    def is_over(self, name: str) -> bool:
        tenant = self.tenants.get(name)
        return tenant is not None and tenant.bucket.is_empty(self.now_s())

    def _of(self, name: str) -> Tenant:
        tenant = self.tenants.get(name)
        if tenant is None:
            if len(self.tenants) >= TENANTS_MAX:
                self._forget_idle()
            tenant = self.tenants[name] = Tenant(Bucket.full(self.limits, self.now_s()))
        return tenant

    def _forget_idle(self) -> None:
        now_s = self.now_s()
        idle = [name for name, one in self.tenants.items() if not one.in_flight and one.bucket.is_full(now_s)]
        for name in idle:
            del self.tenants[name]


@dataclass(frozen=True, slots=True)
class Guard:
    """`is_open`: loopback without TLS needs no login, as on one machine without any set-up.

    `certificates` says who the name in a verified client certificate is, without a bearer.
    """

    authenticator: Authenticator = field(default_factory=NoLogins)
    is_open: bool = False
    certificates: dict[str, Principal] = field(default_factory=dict)
    throttle: Throttle = field(default_factory=Throttle)
    failures: Throttle = field(default_factory=lambda: Throttle(FAILED_LOGINS))

    async def authenticate(self, credentials: Credentials) -> Principal:
        """A bearer is believed or refused, whichever way it came. Refusal NOT_AUTHENTICATED."""
        if credentials.bearer:
            return await self._believed(credentials)
        match credentials.transport:
            case Transport.SOCKET:
                return LOCAL
            case Transport.LOOPBACK if self.is_open:
                return LOCAL
        known = self.certificates.get(credentials.certificate)
        if known is None:
            raise codes.NOT_AUTHENTICATED.refusal("the call does not say who makes it")
        return known

    async def _believed(self, credentials: Credentials) -> Principal:
        """Who tries one bearer after the other is not asked for more of them: checking costs us."""
        address = credentials.peer.rpartition(":")[0]
        if self.failures.is_over(address):
            raise codes.TOO_MANY_REQUESTS.refusal(f"too many logins from {address} failed")
        try:
            return await self.authenticator.principal(credentials.bearer)
        except Refusal:
            self.failures.count(address)
            raise

    async def principal_for(self, method: str, credentials: Credentials) -> Principal:
        if rule_of(method).where is Where.ANYBODY and not credentials.bearer:
            return NOBODY
        return await self.authenticate(credentials)

    def paced(self, principal: Principal, credentials: Credentials) -> AbstractContextManager[None]:
        """By who calls, whatever they ask for; who has not said so, by address. The machine's administrator is free."""
        if principal is LOCAL:
            return _FREE
        name = credentials.peer.rpartition(":")[0] if principal is NOBODY else principal.name
        return self.throttle.admit(name)

    def shared(self, principal: Principal, tenant: str) -> AbstractContextManager[None]:
        """By the tenant, whoever calls for it."""
        if principal is LOCAL or not tenant:
            return _FREE
        return self.throttle.admit(f"project {tenant}")

    async def while_valid(self, principal: Principal, events: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """The events, until what proved the caller does so no more. Refusal NOT_AUTHENTICATED."""
        if principal is LOCAL:
            async for event in events:
                yield event
            return
        coming: asyncio.Future[T] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(events))
                await asyncio.wait((coming,), timeout=LOOK_S)
                if not self.authenticator.is_valid(principal):
                    raise codes.NOT_AUTHENTICATED.refusal("the login or token of this watch is valid no more")
                if coming.done():
                    done, coming = coming, None
                    try:
                        event = done.result()
                    except StopAsyncIteration:
                        return
                    yield event
        finally:
            if coming is not None:
                coming.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await coming
            if isinstance(events, AsyncGenerator):
                await events.aclose()


def bearer_in(authorization: str) -> str:
    """`Bearer SECRET`, as HTTP has it; empty for nothing. Refusal NOT_AUTHENTICATED for whatever else."""
    if not authorization:
        return ""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret or len(secret) > BEARER_MAX or not secret.isascii():
        raise codes.NOT_AUTHENTICATED.refusal("the authorization of the call is no bearer token")
    return secret


_UNTHOUGHT_OF = Rule(Role.FLEET_ADMIN, Where.FLEET)


def rule_of(method: str) -> Rule:
    """A call that nobody has thought of is the fleet administrator's."""
    return TABLE.get(method, _UNTHOUGHT_OF)


def authorise(principal: Principal, method: str, request: Any, *, overrides: bool = False) -> str:
    """Refusals VPC_NOT_FOUND, ROLE_TOO_LOW, and those of malformed names. The tenant that the call is made for."""
    rule = rule_of(method)
    least = max(rule.least, Role.ADMIN) if overrides and rule.least is not Role.VIEWER else rule.least
    match rule.where:
        case Where.PROJECT:
            return _in_project(principal, decode.owner(request), least)
        case Where.RESOURCE:
            where = request.resource
            owner = ProjectKey(
                decode.name(where.org_id, "resource.org_id"), decode.name(where.project_id, "resource.project_id")
            )
            return _in_project(principal, owner, least)
        case Where.PLANNED:
            field_ = request.WhichOneof("mutation")
            if field_ is None:
                return ""
            return authorise(principal, MUTATIONS[field_].method, getattr(request, field_), overrides=overrides)
        case Where.BATCH:
            tenants = [authorise(principal, PLAN, one, overrides=overrides) for one in request.mutations]
            return next(filter(None, tenants), "")
        case Where.SCOPE:
            org = decode.optional_name(request.org_id, "org_id")
            project = decode.optional_name(request.project_id, "project_id")
            if project and not org:
                raise decode.refusal(codes.MISSING_FIELD, "org_id", "a project needs its organisation")
            check_scope(principal, org, project, least)
            return f"{org}/{project}" if org else ""
        case Where.FLEET:
            check_fleet(principal)
    return ""


def _in_project(principal: Principal, owner: ProjectKey, least: Role) -> str:
    check_project(principal, owner, least)
    return str(owner)
