"""How a call is made: its deadline, when it is made again, pages, and changes that can be planned first.

A change that could be made twice by being asked for twice carries an idempotency key, the same in every attempt: an
answer that got lost on its way is no reason not to ask again.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from weftwork.client.errors import ApiError, api_error
from weftwork.client.messages import PlanResponse
from weftwork.client.trace import traced
from weftwork.rpc.generated.overlay_network.v1 import network_pb2_grpc
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2, weftwork_pb2_grpc

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 30.0
ATTEMPTS_MAX = 5
BACKOFF_S = 0.1
BACKOFF_MAX_S = 2.0
PAGE_SIZE = 500
WAIT_GRACE_S = 5.0
"""How much longer than the server we wait for its answer to a wait."""
OVERRIDE = "weft-override-reach-tests"
"""Metadata: `yes` carries out what reach tests forbid."""
CONFIRM_WITHIN = "weft-confirm-within"
CONFIRMATION = "weft-confirmation"
PROBE = "weft-probe"
"""Metadata of a change that undoes itself: seconds, the name to confirm it by, and probes with semicolons between."""
AUTHORIZATION = "authorization"
IDEMPOTENCY_KEY = "idempotency-key"

Metadata = tuple[tuple[str, str], ...]


class Mutation(Generic[T]):
    """A change that can be carried out (`await mutation`) or only planned (`await mutation.plan()`)."""

    def __init__(self, run: Callable[..., Awaitable[T]], plan: Callable[..., Awaitable[PlanResponse]]) -> None:
        self._run = run
        self._plan = plan

    def __await__(self) -> Generator[Any, None, T]:
        return self._run().__await__()

    def overriding_reach_tests(self) -> "Mutation[T]":
        """The same change, carried out even if a reach test forbids it."""
        return Mutation(partial(self._run, overriding=True), partial(self._plan, overriding=True))

    def until_confirmed(self, name: str, *, within_s: int, probes: Sequence[str] = ()) -> "Mutation[T]":
        """The same change; it undoes itself after the time unless `confirm(name)` came, or at once if a probe fails."""
        terms = ((CONFIRM_WITHIN, str(within_s)), (CONFIRMATION, name))
        asked = ((PROBE, ";".join(probes)),) if probes else ()
        return Mutation(partial(self._run, terms=(*terms, *asked)), self._plan)

    async def plan(self) -> PlanResponse:
        """What it would change. Nothing is stored; the same refusals as the mutation's own."""
        return await self._plan()


class Calls:
    """What the calls of each noun stand on."""

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout_s: float, page_size: int, bearer: str, attempts: int
    ) -> None:
        self._channel = channel
        self._bearer: Metadata = ((AUTHORIZATION, f"Bearer {bearer}"),) if bearer else ()
        self._timeout_s = timeout_s
        self._page_size = page_size
        self._attempts = attempts

    @cached_property
    def _network(self) -> "network_pb2_grpc.NetworkServiceAsyncStub":
        return network_pb2_grpc.NetworkServiceStub(self._channel)

    @cached_property
    def _plan(self) -> "weftwork_pb2_grpc.PlanServiceAsyncStub":
        return weftwork_pb2_grpc.PlanServiceStub(self._channel)

    def _mutation(
        self, rpc: Callable[..., Awaitable[T]], plan_field: str, request: Message, *, retry: bool = False
    ) -> Mutation[T]:
        """With `retry` asking twice is as good as asking once; else a key makes it so."""

        async def run(*, overriding: bool = False, terms: Metadata = ()) -> T:
            return await self._change(rpc, request, overriding=overriding, terms=terms, keyed=not retry)

        return Mutation(run, partial(self._planned, plan_field, request))

    def _deletion(self, rpc: Callable[..., Awaitable[Any]], plan_field: str, request: Message) -> Mutation[None]:
        async def run(*, overriding: bool = False, terms: Metadata = ()) -> None:
            await self._change(rpc, request, overriding=overriding, terms=terms, keyed=True)

        return Mutation(run, partial(self._planned, plan_field, request))

    async def _change(
        self, rpc: Callable[..., Awaitable[T]], request: Message, *, overriding: bool, terms: Metadata, keyed: bool
    ) -> T:
        """What is to be confirmed is one change only, and asked for once."""
        override: Metadata = ((OVERRIDE, "yes"),) if overriding else ()
        once: Metadata = ((IDEMPOTENCY_KEY, str(uuid.uuid4())),) if keyed and not terms else ()
        return await self._call(rpc, request, retry=not terms, terms=(*override, *once, *terms))

    async def _planned(self, field: str, request: Message, *, overriding: bool = False) -> PlanResponse:
        plan = weftwork_pb2.PlanRequest(**{field: request})  # type: ignore[arg-type]
        override: Metadata = ((OVERRIDE, "yes"),) if overriding else ()
        return await self._call(self._plan.Plan, plan, terms=override)

    async def _pages(
        self, rpc: Callable[..., Awaitable[Any]], request: Any, items: Callable[[Any], Sequence[T]]
    ) -> AsyncIterator[T]:
        """Every item of every page; the next page is asked for when it is needed."""
        request.page_size = self._page_size
        while True:
            page: Any = await self._call(rpc, request)
            for item in items(page):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _call(
        self,
        rpc: Callable[..., Awaitable[T]],
        request: Message,
        *,
        retry: bool = True,
        timeout_s: float = 0.0,
        terms: Metadata = (),
    ) -> T:
        """One answer within the time, however often it takes to ask. Without `retry` only what was surely not done is
        asked for again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (timeout_s or self._timeout_s)
        for attempt in range(self._attempts):
            try:
                left_s = max(0.001, deadline - loop.time())
                return await rpc(request, timeout=left_s, metadata=self._metadata(*terms))
            except grpc.aio.AioRpcError as error:
                failed = api_error(error)
            pause_s = max(failed.retry_after_s, backoff_s(attempt))
            again = may_help(failed, retry=retry) and attempt + 1 < self._attempts
            if not again or loop.time() + pause_s >= deadline:
                raise failed
            await asyncio.sleep(pause_s)
        raise AssertionError("at least one attempt is made")

    def _metadata(self, *more: tuple[str, str]) -> Metadata:
        return (*self._bearer, *more, *traced())


def may_help(error: ApiError, *, retry: bool) -> bool:
    """Whether asking again may end otherwise: the server is away, or it has said when to come again."""
    is_throttled = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after_s > 0
    return is_throttled or (retry and error.code is grpc.StatusCode.UNAVAILABLE)


def backoff_s(attempt: int) -> float:
    """Doubles, with jitter so that clients do not come back together."""
    return min(BACKOFF_MAX_S, BACKOFF_S * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311


async def streamed(call: Any) -> AsyncIterator[Any]:
    """What a call streams; it ends when nobody wants more. Raises ApiError."""
    try:
        async for event in call:
            yield event
    except grpc.aio.AioRpcError as error:
        raise api_error(error) from None
    finally:
        call.cancel()
