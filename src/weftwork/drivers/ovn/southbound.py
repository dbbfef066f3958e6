"""The southbound database of OVN, read only: how far each chassis is, and whose ports are on it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from weftwork.drivers.ovn.rows import MARK
from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint, Tls
from weftwork.drivers.ovsdb.wire import RowId

_KEPT_S = 2.0
"""How long it is believed which ports a chassis that lags has: it takes no new ones, but may get well."""
_WATCHED = {"Chassis": ("name",), "Chassis_Private": ("name", "nb_cfg")}


class Southbound:
    """Belongs to one event loop."""

    def __init__(self, endpoints: Sequence[Endpoint], *, tls: Tls | None = None) -> None:
        self._client = Client(endpoints, "OVN_Southbound", _WATCHED, tls=tls)
        self._scopes: dict[str, tuple[float, frozenset[str]]] = {}

    async def close(self) -> None:
        await self._client.close()

    def listen(self, listener: Callable[[], None]) -> None:
        """Told when a chassis is further than it was, came or went."""
        self._client.listen(lambda table, uuid: listener())

    async def lagging(self, count: int, scopes: frozenset[str]) -> Mapping[str, frozenset[str]]:
        """By scope, the chassis that hold ports of it and have not arrived at the count. Raises Failure."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for row in tuple((await self._client.rows("Chassis_Private")).values()):
            if row["nb_cfg"] < count:
                for scope in scopes & await self._scopes_on(row["name"]):
                    found[scope].add(row["name"])
        return {scope: frozenset(names) for scope, names in found.items()}

    async def _scopes_on(self, chassis: str) -> frozenset[str]:
        """Those that have a port there: of a guest, or of a router that leads outside by it."""
        now = asyncio.get_running_loop().time()
        known = self._scopes.get(chassis)
        if known is None or now - known[0] > _KEPT_S:
            known = self._scopes[chassis] = (now, await self._ask(chassis))
        return known[1]

    async def _ask(self, chassis: str) -> frozenset[str]:
        rows = await self._client.rows("Chassis")
        places: list[RowId] = [uuid for uuid, row in rows.items() if row["name"] == chassis]
        queries = [
            {
                "op": "select",
                "table": "Port_Binding",
                "where": [["chassis", "==", wire.encode(place)]],
                "columns": ["external_ids"],
            }
            for place in places
        ]
        answers = await self._client.transact(queries) if queries else []
        told = (wire.decode_row(row) for answer in answers for row in answer["rows"])
        return frozenset(row["external_ids"].get(MARK, "") for row in told) - {""}
