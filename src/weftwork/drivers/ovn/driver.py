"""OvnDriver: makes what is ours in a northbound database equal to a program.

One transaction per scope, so that a VPC changes as a whole; then one question to all chassis whether they installed it,
which is what `Programmed` means. Rows without our mark are neither seen nor touched.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from weftwork.base.errors import Failure
from weftwork.drivers.ovn import copy, rows, withdrawal
from weftwork.drivers.ovn.transaction import Missing, Transaction
from weftwork.drivers.ovn.withdrawal import Withdrawal
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint, Tls
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied

INSTALL_TIMEOUT_S = 30.0
"""How long the chassis may take to install a change; after it the change is looked at and asked for again."""
_ASK_AGAIN_S = 1.0
_STEPS_MAX = 2000
"""Of one transaction: a larger one would keep the server busy for others too long."""


Obey = Callable[[Withdrawal], Awaitable[None]]
"""Makes a host's datapath forget what it remembers, and ends flows that live by what was withdrawn."""


async def _nobody(withdrawal: Withdrawal) -> None:
    """For a northbound whose chassis are elsewhere."""


class OvnDriver:
    """Belongs to one event loop. `install_timeout_s` 0: nobody is asked, for there are no chassis."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        tls: Tls | None = None,
        install_timeout_s: float = INSTALL_TIMEOUT_S,
        obey: Obey = _nobody,
    ) -> None:
        self._obey = obey
        self._client = Client(endpoints, "OVN_Northbound", rows.WATCHED, tls=tls)
        self._client.listen(self._note)
        self._install_timeout_s = install_timeout_s
        self._index: dict[Key, UUID] = {}
        self._keys: dict[tuple[str, UUID], Key] = {}
        self._by_scope: defaultdict[str, set[tuple[str, UUID]]] = defaultdict(set)
        self._unread: set[tuple[str, UUID]] = set()
        self._last_tables: copy.Tables = {}
        self._installed = asyncio.Event()

    async def close(self) -> None:
        await self._client.close()

    def place_of(self, key: Key) -> UUID | None:
        """The row that a resource is, as far as we have read."""
        return self._index.get(key)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        await self._client.catch_up()
        return copy.read(await self._tables(), scopes)

    async def apply(self, plan: Plan) -> Applied:
        by_scope: defaultdict[str, list[Step]] = defaultdict(list)
        for step in plan:
            by_scope[_subject(step).scope].append(step)
        failures: dict[Key, Failure] = {}
        for steps in by_scope.values():
            for some in _cut(steps):
                failures |= await self._carry_out(some)
        if len(failures) < len(plan):
            failures |= await self._wait_for_chassis(plan)
            if withdrawal.forbids(plan):
                await self._tables()
                translations = self._translations if withdrawal.ends_translations(plan) else None
                await self._obey(Withdrawal(translations, withdrawal.scopes_of(plan), self._in_force))
        return Applied(failures)

    async def _carry_out(self, steps: Sequence[Step]) -> Mapping[Key, Failure]:
        await self._tables()
        failures: dict[Key, Failure] = {}
        wanted = list(steps)
        while wanted:
            transaction = Transaction(self.place_of)
            try:
                transaction.add(wanted)
            except Missing as missing:
                # Only what stands on nothing is left out: the rest of the scope does not wait for it.
                failures[missing.key] = Failure("OVN_PARENT_MISSING", str(missing))
                wanted = [step for step in wanted if _subject(step).key != missing.key]
                continue
            try:
                if transaction.operations:
                    await self._client.transact(transaction.operations)
            except Failure as failure:
                if failure.code != "OVSDB_REFUSED":
                    raise
                failures |= {_subject(step).key: failure for step in wanted}
            break
        return failures

    async def _wait_for_chassis(self, plan: Plan) -> Mapping[Key, Failure]:
        """Until the slowest chassis is at our count (ovn-nb(5), NB_Global.hv_cfg)."""
        if not self._install_timeout_s:
            return {}
        tables = await self._tables()
        (uuid,) = tables["NB_Global"]
        where = [["_uuid", "==", ["uuid", str(uuid)]]]
        count = {"op": "mutate", "table": "NB_Global", "where": where, "mutations": [["nb_cfg", "+=", 1]]}
        read = {"op": "select", "table": "NB_Global", "where": [], "columns": ["nb_cfg"]}
        answer = await self._client.transact([count, read])
        wanted = answer[1]["rows"][0]["nb_cfg"]
        try:
            async with asyncio.timeout(self._install_timeout_s):
                while True:
                    self._installed.clear()
                    (row,) = (await self._tables())["NB_Global"].values()
                    if row["hv_cfg"] >= wanted:
                        return {}
                    try:
                        await asyncio.wait_for(self._installed.wait(), _ASK_AGAIN_S)
                    except TimeoutError:
                        # northd that lost a race in the southbound tries again at the next change, and not before.
                        await self._client.transact([count])
        except TimeoutError:
            why = Failure("OVN_NOT_INSTALLED", f"the chassis did not install it within {self._install_timeout_s:.0f} s")
            return {_subject(step).key: why for step in plan if not isinstance(step, Delete)}

    async def _tables(self) -> copy.Tables:
        """The copy, and the index brought up to it."""
        tables = {table: await self._client.rows(table) for table in rows.WATCHED}
        self._read_news(tables)
        self._last_tables = tables
        return tables

    def _translations(self) -> Iterator[Resource]:
        """Ours in the copy, which is as fresh as our last transaction."""
        for (table, uuid), key in self._keys.items():
            if table in ("NAT", "Load_Balancer") and self._index.get(key) == uuid:
                resource = copy.resource_at(self._last_tables, table, uuid)
                if resource is not None:
                    yield resource

    def _in_force(self, scopes: Collection[str]) -> Program:
        """Ours in the copy. It takes as long as the scopes are large."""
        places = (place for scope in scopes for place in self._by_scope[scope])
        return copy.read_some(self._last_tables, places)

    def _note(self, table: str, uuid: UUID) -> None:
        if table == "NB_Global":
            self._installed.set()
        else:
            self._unread.add((table, uuid))

    def _read_news(self, tables: copy.Tables) -> None:
        """What a row is called never changes, so the index follows the rows that came and went."""
        for table, uuid in self._unread:
            before = self._keys.pop((table, uuid), None)
            if before is not None and self._index.get(before) == uuid:
                del self._index[before]
            if before is not None:
                self._by_scope[before[1]].discard((table, uuid))
            resource = copy.resource_at(tables, table, uuid) if table in _OURS else None
            if resource is not None:
                self._keys[table, uuid] = resource.key
                self._by_scope[resource.scope].add((table, uuid))
                self._index.setdefault(resource.key, uuid)
        self._unread.clear()


_OURS = frozenset(rows.TABLE_OF.values())


def _subject(step: Step) -> Any:
    match step:
        case Create(new) | Replace(_, new):
            return new
        case Delete(old):
            return old


def _cut(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """A scope in one transaction, unless it is a very large one: creations come by rank, so parts stand alone."""
    for start in range(0, len(steps), _STEPS_MAX):
        yield steps[start : start + _STEPS_MAX]
