"""Which deployment we are, and that nobody starts over another's networks: it would take them for strays.

A deployment is a store and what stands for it. Its id is chosen at the first start and kept in the store.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weftwork.apps.settings import Settings
from weftwork.apps.stores import open_store
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.model import keys
from weftwork.program.plan import Plan
from weftwork.program.resource import Program
from weftwork.seams.driver import Applied
from weftwork.seams.marking import Marking, Standing
from weftwork.seams.store import Conflict, Put, Store, Transaction, Unchanged
from weftwork.store.sqlite.peek import peek

if TYPE_CHECKING:
    from weftwork.drivers.ovn.driver import OvnDriver

log = logging.getLogger(__name__)

UNMARKED = "unmarked"
"""How a person names what was made before marks told deployments apart."""
_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Deployment:
    """`adopts` are the others whose things this one takes over when it starts."""

    id: str
    adopts: frozenset[str] = frozenset()

    async def take_over(self, *drivers: Marking) -> None:
        """Before anything is changed. Raises Refusal when things of others stand that are not to be adopted."""
        there = together([await driver.standing() for driver in drivers])
        others = {one: things for one, things in there.items() if one not in (self.id, *self.adopts)}
        if others:
            raise differs(f"{_this(self.id)} is not to touch", others)
        for driver in drivers:
            await driver.adopt(self.adopts & there.keys())


@dataclass(slots=True)
class LaterTakenOver:
    """The driver of a northbound that is out of reach when we start: it is taken over before it is first observed."""

    driver: "OvnDriver"
    ours: Deployment
    is_ours: bool = False

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        if not self.is_ours:
            try:
                await self.ours.take_over(self.driver)
            except Refusal as refusal:
                raise Failure(refusal.code, refusal.message) from None
            self.is_ours = True
        return await self.driver.observe(scopes)

    async def apply(self, plan: Plan) -> Applied:
        return await self.driver.apply(plan)

    async def close(self) -> None:
        await self.driver.close()


async def taken_over(ours: Deployment, northbound: "OvnDriver", *here: Marking) -> "OvnDriver | LaterTakenOver":
    """The driver to use, once what is in reach is ours. Raises Refusal like `take_over`."""
    try:
        await ours.take_over(northbound, *here)
    except Failure as failure:
        log.warning("whose the northbound's rows are is seen once it is there: %s", failure)
        await ours.take_over(*here)
        return LaterTakenOver(northbound, ours)
    return northbound


async def of_store(store: Store, adopts: Iterable[str]) -> Deployment:
    """The store's own, made now if it has none. What is unmarked it adopts unless it asks for no VPC at all: everything
    would be a stray."""
    asked = {"" if one == UNMARKED else one for one in adopts}
    asks_for_something = bool((await store.range(keys.things("vpc"), limit=1)).records)
    return Deployment(await _id_in(store), frozenset(asked | ({""} if asks_for_something else set())))


async def _id_in(store: Store) -> str:
    while (record := await store.get(keys.DEPLOYMENT)) is None:
        new = Put(keys.DEPLOYMENT, uuid.uuid4().hex[:12].encode())
        try:
            await store.commit(Transaction((Unchanged(keys.DEPLOYMENT, 0),), (new,)))
        except Conflict:
            continue
    return record.value.decode()


async def recorded(settings: Settings) -> str | None:
    """The id in the settings' store; None when it has none yet. A file that is in use or damaged is read as far as it
    can be. Raises Failure when the store is out of reach."""
    if settings.storage_backend == "sqlite":
        value = peek(Path(settings.storage_path), keys.DEPLOYMENT)
    else:
        async with open_store(settings) as opened:
            record = await opened.store.get(keys.DEPLOYMENT)
            value = record.value if record else None
    return value.decode(errors="replace") if value else None


def together(parts: Sequence[Standing]) -> Standing:
    found: dict[str, frozenset[str]] = {}
    for part in parts:
        for deployment, things in part.items():
            found[deployment] = found.get(deployment, frozenset()) | things
    return found


def differs(what: str, others: Standing) -> Refusal:
    first = name_of(min(others))
    return Refusal(
        Kind.CONFLICT,
        "DEPLOYMENT_DIFFERS",
        f"{what} what stands here: {told(others)}",
        hint=f"Start over the store that it was made from (storage.*); or remove it with "
        f"`weft down --deployment {first}`; or give it to this store with `weft up --adopt {first}`: "
        "what this store does not ask for is removed then.",
    )


def told(standing: Mapping[str, frozenset[str]]) -> str:
    return "; ".join(f"{_this(one)} with {_some(standing[one])}" for one in sorted(standing))


def name_of(deployment: str) -> str:
    return deployment or UNMARKED


def _this(deployment: str) -> str:
    return f"deployment {name_of(deployment)}"


def _some(things: frozenset[str]) -> str:
    shown = ", ".join(sorted(things)[:_SHOWN_MAX])
    more = len(things) - _SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
