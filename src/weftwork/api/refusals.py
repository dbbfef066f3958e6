"""Writes what was refused into the audit log: beside the call, never before its answer, and no more than a few a
second of the same caller, so that nobody fills the store by being refused.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from weftwork.access.caller import Credentials, Principal
from weftwork.access.limits import Limits
from weftwork.actions.audit import refusal_of
from weftwork.actions.journal import Author
from weftwork.actions.network import Network
from weftwork.api.guard import Throttle
from weftwork.base.errors import Failure, Refusal
from weftwork.seams.store import Conflict, Put, Transaction

log = logging.getLogger(__name__)

PER_CALLER = Limits(calls_per_s=2.0, burst=50)
WAITING_MAX = 1000
"""Lines that wait for the store; what comes when it is full is counted and left out."""
AT_ONCE = 100


@dataclass(slots=True)
class RefusalLog:
    network: Network
    now_s: Callable[[], float] = time.monotonic
    _callers: Throttle = field(init=False)
    _left_out: dict[str, int] = field(default_factory=dict)
    _waiting: deque[Put] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._callers = Throttle(PER_CALLER, self.now_s)

    def take(
        self, principal: Principal | None, credentials: Credentials, method: str, tenant: str, error: Refusal
    ) -> None:
        """Notes it, or counts it when the caller is refused too often."""
        who = principal.name if principal else ""
        address = credentials.peer.rpartition(":")[0] or credentials.peer
        caller = who or address
        if self._callers.is_over(caller) or len(self._waiting) >= WAITING_MAX:
            if len(self._left_out) < WAITING_MAX or caller in self._left_out:
                self._left_out[caller] = self._left_out.get(caller, 0) + 1
            return
        self._callers.count(caller)
        author = Author(who, credentials.peer, method)
        self._waiting.append(refusal_of(self.network, author, tenant, error, self._left_out.pop(caller, 0)))
        self._news.set()

    async def run(self) -> None:
        """For as long as the server does."""
        while True:
            await self._news.wait()
            await self.flush()

    async def flush(self) -> None:
        """Everything that waits, some at a time. What the store does not take is lost, and the log says so."""
        async with self._writing:
            self._news.clear()
            while self._waiting:
                some = tuple(islice(self._waiting, AT_ONCE))
                try:
                    with suppress(Conflict):
                        await self.network.store.commit(Transaction((), some))
                except Failure as error:
                    log.warning("%d refusals could not be written into the audit log: %s", len(some), error)
                # Only now: whoever is stopped in between writes the same lines again.
                for _ in some:
                    self._waiting.popleft()
