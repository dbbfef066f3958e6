"""OvnDriver: makes what is ours in a northbound database equal to a program.

A VPC changes as a whole, in one transaction, with others that change then. It is in force when the chassis installed
it, which is what `Programmed` means; the next change does not wait for them. Rows without our mark are neither seen nor
touched.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from weftwork.base.errors import Failure
from weftwork.drivers.ovn import copy, installation, rows, withdrawal
from weftwork.drivers.ovn.installation import INSTALL_TIMEOUT_S, Installation
from weftwork.drivers.ovn.southbound import Southbound
from weftwork.drivers.ovn.transaction import Missing, Operation, Transaction
from weftwork.drivers.ovn.withdrawal import Withdrawal
from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint, Tls
from weftwork.drivers.ovsdb.wire import RowId
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied
from weftwork.seams.marking import Standing

_STEPS_MAX = 2000
"""Of one transaction: a larger one would keep the server busy for others too long."""


Obey = Callable[[Withdrawal], Awaitable[None]]
"""Makes a host's datapath forget what it remembers, and ends flows that live by what was withdrawn."""


async def nobody(withdrawal: Withdrawal) -> None:
    """For a northbound whose chassis are elsewhere."""


class OvnDriver:
    """Belongs to one event loop. `install_timeout_s` 0: nobody is asked, for there are no chassis.

    Rows of another deployment are a stranger's.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        tls: Tls | None = None,
        install_timeout_s: float = INSTALL_TIMEOUT_S,
        obey: Obey = nobody,
        southbound: Southbound | None = None,
        deployment: str = "",
    ) -> None:
        self._obey = obey
        self._deployment = deployment
        self._client = Client(endpoints, "OVN_Northbound", rows.WATCHED, tls=tls)
        self._client.listen(self._note)
        self._install_timeout_s = install_timeout_s
        self._index: dict[Key, RowId] = {}
        self._keys: dict[tuple[str, RowId], Key] = {}
        self._by_scope: defaultdict[str, set[tuple[str, RowId]]] = defaultdict(set)
        self._unread: set[tuple[str, RowId]] = set()
        self._last_tables: copy.Tables = {}
        self._wanted = 0
        self._installation = Installation(self._client, southbound, install_timeout_s)

    async def close(self) -> None:
        await self._installation.close()
        await self._client.close()

    def place_of(self, key: Key) -> RowId | None:
        """The row that a resource is, as far as we have read."""
        return self._index.get(key)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        await self._client.catch_up()
        return copy.read(await self._tables(), scopes, self._deployment)

    async def standing(self) -> Standing:
        """Scopes by deployment."""
        await self._client.catch_up()
        return copy.standing(await self._tables())

    async def adopt(self, deployments: frozenset[str]) -> None:
        await self._client.catch_up()
        operations = [
            wire.update(table, uuid, rows.marked_anew(table, row, self._deployment))
            for table, uuid, row in copy.rows_of(await self._tables(), deployments)
        ]
        for start in range(0, len(operations), _STEPS_MAX):
            await self._client.transact(operations[start : start + _STEPS_MAX])

    async def apply(self, plan: Plan) -> Applied:
        """Returns when the database has it. The chassis install it meanwhile, and what it took away is ended then."""
        failures: dict[Key, Failure] = {}
        for some in _lots(plan):
            failures |= await self._carry_out(some)
        if len(failures) == len(plan) or not self._install_timeout_s:
            return Applied(failures)
        return Applied(failures, partial(self._in_force, plan, self._wanted))

    async def _in_force(self, plan: Plan, wanted: int, keys: Collection[Key]) -> Mapping[Key, Failure]:
        try:
            late = await self._installation.wait(wanted, frozenset(key[1] for key in keys))
        finally:
            # Our own chassis may have it, whatever is heard of the others.
            if withdrawal.forbids(plan):
                await self._end_what_it_forbids(plan)
        return {key: late[key[1]] for key in keys if key[1] in late}

    async def _end_what_it_forbids(self, plan: Plan) -> None:
        await self._tables()
        translations = self._translations if withdrawal.ends_translations(plan) else None
        await self._obey(Withdrawal(translations, withdrawal.scopes_of(plan), self._rows_in_force))

    async def _carry_out(self, steps: Sequence[Step]) -> Mapping[Key, Failure]:
        await self._tables()
        failures: dict[Key, Failure] = {}
        wanted = list(steps)
        while wanted:
            transaction = Transaction(self.place_of, self._deployment)
            try:
                transaction.add(wanted)
            except Missing as missing:
                # Only what stands on nothing is left out: the rest of the scope does not wait for it.
                failures[missing.key] = Failure("OVN_PARENT_MISSING", str(missing))
                wanted = [step for step in wanted if _subject(step).key != missing.key]
                continue
            try:
                if transaction.operations:
                    await self._commit(transaction.operations)
            except Failure as failure:
                if failure.code != "OVSDB_REFUSED":
                    raise
                failures |= await self._one_by_one(wanted, failure)
            break
        return failures

    async def _one_by_one(self, steps: Sequence[Step], refused: Failure) -> Mapping[Key, Failure]:
        """One scope's fault is not another's."""
        by_scope = _by_scope(steps)
        if len(by_scope) == 1:
            return {_subject(step).key: refused for step in steps}
        failures: dict[Key, Failure] = {}
        for some in by_scope.values():
            failures |= await self._carry_out(some)
        return failures

    async def _commit(self, operations: Sequence[Operation]) -> None:
        """With the count of the chassis raised in the same transaction, so that northd computes once."""
        if not self._install_timeout_s:
            await self._client.transact(operations)
            return
        answer = await self._client.transact([*operations, *installation.COUNT])
        self._wanted = max(self._wanted, installation.counted(answer))

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
                resource = copy.resource_at(self._last_tables, table, uuid, self._deployment)
                if resource is not None:
                    yield resource

    def _rows_in_force(self, scopes: Collection[str]) -> Program:
        """Ours in the copy. It takes as long as the scopes are large."""
        places = (place for scope in scopes for place in self._by_scope[scope])
        return copy.read_some(self._last_tables, places, self._deployment)

    def _note(self, table: str, uuid: RowId) -> None:
        if table == "NB_Global":
            self._installation.look()
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
            resource = copy.resource_at(tables, table, uuid, self._deployment) if table in _OURS else None
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


def _by_scope(steps: Iterable[Step]) -> Mapping[str, Sequence[Step]]:
    found: defaultdict[str, list[Step]] = defaultdict(list)
    for step in steps:
        found[_subject(step).scope].append(step)
    return found


def _lots(plan: Plan) -> Iterator[Sequence[Step]]:
    """What to commit together: whole scopes, until it is much. A very large scope is parted: creations come by rank, so
    its parts stand alone."""
    lot: list[Step] = []
    for steps in _by_scope(plan).values():
        if lot and len(lot) + len(steps) > _STEPS_MAX:
            yield lot
            lot = []
        lot += steps
        while len(lot) > _STEPS_MAX:
            yield lot[:_STEPS_MAX]
            lot = lot[_STEPS_MAX:]
    if lot:
        yield lot
