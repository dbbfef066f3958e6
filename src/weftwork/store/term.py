"""Leading on a lease: held until a moment of our own clock that comes before anybody else can have it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from weftwork.base.errors import Failure

log = logging.getLogger(__name__)

MARGIN = 0.9
"""Of a lease we believe in this part: clocks of two machines do not run equally fast."""


class LeasedTerm:
    """`renew` says whether the lease is still ours, and prolongs it; it counts from the moment it was asked.

    A process that was stopped and goes on finds the term over before it does anything else.
    """

    def __init__(
        self,
        number: int,
        lease_s: float,
        asked_at: float,
        renew: Callable[[], Awaitable[bool]],
        give_up: Callable[[], Awaitable[None]],
    ) -> None:
        self.number = number
        self._lease_s = lease_s
        self._until = asked_at + lease_s * MARGIN
        self._renew = renew
        self._give_up = give_up
        self._over = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep())

    def is_held(self) -> bool:
        if time.monotonic() >= self._until:
            self._over.set()
        return not self._over.is_set()

    async def over(self) -> None:
        await self._over.wait()

    async def resign(self) -> None:
        self._over.set()
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        try:
            await self._give_up()
        except Failure as failure:
            log.info("%s", failure)  # The lease ends by itself.

    async def _keep(self) -> None:
        try:
            while self.is_held():
                await asyncio.sleep(min(self._lease_s / 5, max(self._until - time.monotonic(), 0)))
                asked_at = time.monotonic()
                if asked_at >= self._until:
                    continue
                try:
                    async with asyncio.timeout(self._until - asked_at):
                        if not await self._renew():
                            return
                except (Failure, TimeoutError) as error:
                    log.warning("the lease of the leader was not renewed: %s", error)
                    continue
                self._until = asked_at + self._lease_s * MARGIN
        finally:
            self._over.set()


class AlwaysLeader:
    """Of a store that only this process has open: it leads for good, in term 1."""

    number = 1

    async def elected(self) -> "AlwaysLeader":
        return self

    def is_held(self) -> bool:
        return True

    async def over(self) -> None:
        await asyncio.Event().wait()

    async def resign(self) -> None:
        return None
