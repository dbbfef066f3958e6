"""The client for programs without an event loop: the same methods, each waiting for its answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from weftwork.client.client import DEFAULT_TIMEOUT_S, Client

T = TypeVar("T")


class SyncClient:
    """Runs the async client's calls on a loop of its own; for one thread.

    `client.run(lambda c: c.create_vpc("acme/web"))`, `client.all(lambda c: c.list_ports("acme/web"))`.
    """

    def __init__(self, target: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._runner = asyncio.Runner()
        try:
            self._client = self._runner.run(Client.connect(target, timeout_s=timeout_s))
        except BaseException:
            self._runner.close()
            raise

    def run(self, call: Callable[[Client], Awaitable[T]]) -> T:
        async def wait() -> T:
            return await call(self._client)

        return self._runner.run(wait())

    def all(self, call: Callable[[Client], AsyncIterator[T]]) -> list[T]:
        """Every item of a list, over all its pages."""

        async def collect() -> list[T]:
            return [item async for item in call(self._client)]

        return self._runner.run(collect())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
