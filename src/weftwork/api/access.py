"""The calls about access itself: who am I, tokens, quotas, the audit log."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from weftwork.access.roles import WORDS, Grant, Role
from weftwork.actions import audit, quotas, tokens
from weftwork.actions.tokens import Token, TokenBook
from weftwork.api import confirmations
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.base.addresses import Cidr
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import access_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import confirmation_pb2

_WEFT = "/weftwork.v1."


async def _get_login(doors: Doors, request: Empty) -> pb.Login:
    if doors.login is None:
        return pb.Login()
    where = await doors.login.endpoints()
    return pb.Login(
        issuer=where.issuer,
        client_id=where.client,
        scope=where.scope,
        token_endpoint=where.token,
        device_authorization_endpoint=where.device,
    )


async def _who_am_i(doors: Doors, request: Empty) -> pb.Me:
    me = doors.network.principal
    return pb.Me(name=me.name, grants=[str(one) for one in me.grants], expires_at=me.expires_s)


async def _create_token(doors: Doors, request: pb.CreateTokenRequest) -> pb.CreateTokenResponse:
    token, secret = await tokens.create_token(
        doors.network,
        _book(doors),
        name=decode.required(request.name, "name"),
        grant=_grant(request),
        lifetime_s=request.lifetime_s,
    )
    return pb.CreateTokenResponse(token=_told_token(token), secret=secret)


async def _list_tokens(doors: Doors, request: pb.ListTokensRequest) -> pb.ListTokensResponse:
    found = tokens.list_tokens(_book(doors), org=request.org_id, project=request.project_id)
    return pb.ListTokensResponse(tokens=map(_told_token, found))


async def _revoke_token(doors: Doors, request: pb.RevokeTokenRequest) -> Empty:
    token_id = decode.label(decode.required(request.token_id, "token_id"), "token_id")
    await tokens.revoke_token(
        doors.network, _book(doors), org=request.org_id, project=request.project_id, token_id=token_id
    )
    return Empty()


def _book(doors: Doors) -> TokenBook:
    if doors.tokens is None:
        raise codes.NOT_READY.refusal("this server keeps no API tokens")
    return doors.tokens


def _grant(request: pb.CreateTokenRequest) -> Grant:
    role = WORDS.get(decode.required(request.role, "role"))
    if role is None or (role is Role.FLEET_ADMIN) == bool(request.org_id):
        words = ", ".join(one for one in WORDS if one != Role.FLEET_ADMIN.word)
        raise decode.refusal(
            codes.INVALID_ARGUMENT,
            "role",
            f"{decode.quoted(request.role)} is no role there",
            hint=f"Use one of {words}, or fleet-admin without an organisation.",
        )
    return Grant(role, request.org_id, request.project_id)


def _told_token(token: Token) -> pb.Token:
    return pb.Token(
        id=token.id,
        name=token.name,
        grant=str(token.grant),
        created_by=token.by,
        created_at=token.created_at,
        expires_at=token.expires_at,
    )


async def _get_quota(doors: Doors, request: pb.GetQuotaRequest) -> pb.Quota:
    owner = decode.owner(request)
    quota, usages = quotas.get_quota(doors.network, owner)
    return pb.Quota(
        org_id=owner.org,
        project_id=owner.project,
        usages=[
            pb.QuotaUsage(
                resource=one.resource, used=one.used, limit=one.limit or 0, own=one.is_own, unlimited=one.limit is None
            )
            for one in usages
        ],
        external=_told_list(quota.external),
        ranges=_told_list(quota.ranges),
    )


async def _set_quota(doors: Doors, request: pb.SetQuotaRequest) -> pb.Quota:
    await quotas.set_quota(
        doors.network,
        decode.owner(request),
        limits={one.resource: one.limit for one in request.limits},
        reset=tuple(request.reset),
        external=_allowed(request, "external"),
        any_external=request.any_external,
        ranges=_allowed(request, "ranges"),
        any_range=request.any_range,
    )
    return await _get_quota(doors, pb.GetQuotaRequest(org_id=request.org_id, project_id=request.project_id))


def _allowed(request: pb.SetQuotaRequest, field: str) -> tuple[Cidr, ...] | None:
    if not request.HasField(field):  # type: ignore[arg-type]
        return None
    return decode.each(decode.cidr, getattr(request, field).cidrs, f"{field}.cidrs")


def _told_list(cidrs: tuple[Cidr, ...] | None) -> pb.AllowList | None:
    return None if cidrs is None else pb.AllowList(cidrs=map(str, cidrs))


async def _list_audit_entries(doors: Doors, request: pb.ListAuditEntriesRequest) -> pb.ListAuditEntriesResponse:
    wanted = audit.Wanted(
        org=request.org_id,
        project=request.project_id,
        since_s=request.since,
        until_s=request.until,
        who=decode.label(request.who, "who"),
        about=decode.label(request.about, "about"),
        refused_only=request.refused,
    )
    entries, token = await audit.list_entries(doors.network.store, wanted, **decode.page(request))
    return pb.ListAuditEntriesResponse(entries=map(_told_entry, entries), next_page_token=token)


def _told_entry(entry: audit.Entry) -> pb.AuditEntry:
    return pb.AuditEntry(
        at=entry.at_s,
        revision=entry.revision,
        who=entry.who,
        where=entry.where,
        call=entry.call,
        org_id=entry.org,
        project_id=entry.project,
        refused=entry.refused,
        message=entry.message,
        changes=[pb.AuditChange(what=what, before=old, after=new) for what, old, new in entry.changes],
    )


@dataclass(frozen=True, slots=True)
class AccessCall:
    method: str
    request: type[Message]
    run: Callable[[Doors, Any], Awaitable[Message]]


ACCESS: Mapping[str, AccessCall] = {
    call.method: call
    for call in (
        AccessCall(_WEFT + "AccessService/GetLogin", Empty, _get_login),
        AccessCall(_WEFT + "AccessService/WhoAmI", Empty, _who_am_i),
        AccessCall(_WEFT + "TokenService/CreateToken", pb.CreateTokenRequest, _create_token),
        AccessCall(_WEFT + "TokenService/ListTokens", pb.ListTokensRequest, _list_tokens),
        AccessCall(_WEFT + "TokenService/RevokeToken", pb.RevokeTokenRequest, _revoke_token),
        AccessCall(_WEFT + "QuotaService/GetQuota", pb.GetQuotaRequest, _get_quota),
        AccessCall(_WEFT + "QuotaService/SetQuota", pb.SetQuotaRequest, _set_quota),
        AccessCall(
            confirmations.SERVICE + "ListConfirmations",
            confirmation_pb2.ListConfirmationsRequest,
            confirmations.list_confirmations,
        ),
        AccessCall(confirmations.SERVICE + "Confirm", confirmation_pb2.ConfirmRequest, confirmations.confirm),
        AccessCall(_WEFT + "AuditService/ListAuditEntries", pb.ListAuditEntriesRequest, _list_audit_entries),
    )
}
