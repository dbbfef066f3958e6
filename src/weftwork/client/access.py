"""The client's calls about access: who am I, tokens, quotas, the audit log. `client.access.create_token(...)`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import grpc.aio
from google.protobuf.empty_pb2 import Empty

from weftwork.rpc.generated.weftwork.v1 import access_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import access_pb2_grpc

PAGE_SIZE = 500


class _Calling(Protocol):
    def __call__(self, rpc: Callable[..., Awaitable[Any]], request: Any, *, retry: bool = True) -> Awaitable[Any]: ...


class AccessCalls:
    """`org` and `project` say for whom: without a project all of an organisation, without both the deployment."""

    def __init__(self, channel: grpc.aio.Channel, call: _Calling) -> None:
        self._call = call
        self._access = access_pb2_grpc.AccessServiceStub(channel)
        self._tokens = access_pb2_grpc.TokenServiceStub(channel)
        self._quotas = access_pb2_grpc.QuotaServiceStub(channel)
        self._audit = access_pb2_grpc.AuditServiceStub(channel)

    async def get_login(self) -> pb.Login:
        """Where to log in for this server; no issuer when it knows no logins."""
        return await self._call(self._access.GetLogin, Empty())  # type: ignore[no-any-return]

    async def who_am_i(self) -> pb.Me:
        return await self._call(self._access.WhoAmI, Empty())  # type: ignore[no-any-return]

    async def create_token(
        self, name: str, *, role: str, org: str = "", project: str = "", lifetime_s: int = 0
    ) -> pb.CreateTokenResponse:
        """`secret` of the answer is the token; it is not told again."""
        request = pb.CreateTokenRequest(org_id=org, project_id=project, name=name, role=role, lifetime_s=lifetime_s)
        return await self._call(self._tokens.CreateToken, request, retry=False)  # type: ignore[no-any-return]

    async def list_tokens(self, *, org: str = "", project: str = "") -> Sequence[pb.Token]:
        request = pb.ListTokensRequest(org_id=org, project_id=project)
        return (await self._call(self._tokens.ListTokens, request)).tokens  # type: ignore[no-any-return]

    async def revoke_token(self, token_id: str, *, org: str = "", project: str = "") -> None:
        request = pb.RevokeTokenRequest(org_id=org, project_id=project, token_id=token_id)
        await self._call(self._tokens.RevokeToken, request, retry=False)

    async def get_quota(self, org: str, project: str) -> pb.Quota:
        request = pb.GetQuotaRequest(org_id=org, project_id=project)
        return await self._call(self._quotas.GetQuota, request)  # type: ignore[no-any-return]

    async def set_quota(
        self,
        org: str,
        project: str,
        *,
        limits: Mapping[str, int] | None = None,
        reset: Sequence[str] = (),
        external: Sequence[str] | None = None,
        any_external: bool = False,
        ranges: Sequence[str] | None = None,
        any_range: bool = False,
    ) -> pb.Quota:
        """What is None stays as it is; an empty list allows nothing."""
        request = pb.SetQuotaRequest(
            org_id=org,
            project_id=project,
            limits=[pb.QuotaLimit(resource=name, limit=limit) for name, limit in (limits or {}).items()],
            reset=reset,
            external=None if external is None else pb.AllowList(cidrs=external),
            any_external=any_external,
            ranges=None if ranges is None else pb.AllowList(cidrs=ranges),
            any_range=any_range,
        )
        return await self._call(self._quotas.SetQuota, request)  # type: ignore[no-any-return]

    async def audit_entries(
        self,
        *,
        org: str = "",
        project: str = "",
        since: int = 0,
        until: int = 0,
        who: str = "",
        about: str = "",
        refused: bool = False,
    ) -> AsyncIterator[pb.AuditEntry]:
        """Newest first; the next page is asked for when it is needed."""
        request = pb.ListAuditEntriesRequest(
            org_id=org,
            project_id=project,
            since=since,
            until=until,
            who=who,
            about=about,
            refused=refused,
            page_size=PAGE_SIZE,
        )
        while True:
            page = await self._call(self._audit.ListAuditEntries, request)
            for entry in page.entries:
                yield entry
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
