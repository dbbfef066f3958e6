"""Whether the chassis have installed what was committed (ovn-nb(5), NB_Global: nb_cfg, sb_cfg, hv_cfg).

Each commit of ours raises the count; northd and then every chassis say which count they have arrived at.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from weftwork.base.errors import Failure
from weftwork.drivers.ovn.southbound import Southbound
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.wire import Row

INSTALL_TIMEOUT_S = 30.0
"""How long the chassis may take to install a change; after it the change is asked for again."""
_NUDGE_FIRST_S = 1.0
"""northd that lost a race in the southbound, and a chassis whose Open vSwitch died meanwhile, try again at the next
change, and not before. Each nudge makes northd compute everything anew, so they become ever more seldom."""
_LOOK_FOR_LAGGARDS_S = 0.5

_RAISE = {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]}
COUNT = (_RAISE, {"op": "select", "table": "NB_Global", "where": [], "columns": ["nb_cfg"]})
"""The end of a transaction that is to be waited for."""


def counted(answer: Sequence[Any]) -> int:
    """The count that such a transaction arrived at."""
    return int(answer[len(answer) - 1]["rows"][0]["nb_cfg"])


class Installation:
    """With a southbound, only the chassis that hold ports of a change's scopes are waited for; else all of them."""

    def __init__(self, north: Client, southbound: Southbound | None, timeout_s: float) -> None:
        self._north = north
        self._southbound = southbound
        self._timeout_s = timeout_s
        self._news = asyncio.Event()
        self._nudged_at = 0.0
        if southbound is not None:
            southbound.listen(self.look)

    async def close(self) -> None:
        if self._southbound is not None:
            await self._southbound.close()

    def look(self) -> None:
        """Something was heard of a chassis."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self, count: int, scopes: frozenset[str]) -> Mapping[str, Failure]:
        """Until those that matter are at the count; by scope, what was not installed in time. Raises Failure."""
        began, nudge_s = asyncio.get_running_loop().time(), _NUDGE_FIRST_S
        nudge_at, ends_at = began + nudge_s, began + self._timeout_s
        while True:
            news, now = self._news, asyncio.get_running_loop().time()
            told = await self._told()
            if told["hv_cfg"] >= count:
                return {}
            by_northd = told["sb_cfg"] >= count
            if by_northd and self._southbound and (now - began >= _LOOK_FOR_LAGGARDS_S or now >= ends_at):
                late = await self._southbound.lagging(count, scopes)
                if not late or now >= ends_at:
                    return {scope: _late(f"chassis {', '.join(sorted(names))}") for scope, names in late.items()}
            elif now >= ends_at:
                return dict.fromkeys(scopes, _late("the chassis" if by_northd else "northd"))
            if now >= nudge_at:
                nudge_s *= 2
                nudge_at = now + nudge_s
                await self._nudge(now)
            until = min(nudge_at, ends_at, now + _LOOK_FOR_LAGGARDS_S if self._southbound else ends_at)
            await _heard(news, until - now)

    async def _told(self) -> Row:
        (row,) = (await self._north.rows("NB_Global")).values()
        return row

    async def _nudge(self, now: float) -> None:
        """One for all that wait."""
        if now - self._nudged_at >= _NUDGE_FIRST_S:
            self._nudged_at = now
            await self._north.transact([_RAISE])


async def _heard(news: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(max(timeout_s, 0.0)):
            await news.wait()
    except TimeoutError:
        return


def _late(who: str) -> Failure:
    return Failure("OVN_NOT_INSTALLED", f"{who} did not install it in time; it is asked for again")
