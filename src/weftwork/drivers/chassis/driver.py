"""ChassisDriver: plugs guests' devices into the integration bridge, where ovn-controller finds them by `iface-id`.

A port is programmed when ovn-controller says that its flows are installed (ovn-controller(8), `ovn-installed`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from weftwork.base.errors import Failure
from weftwork.drivers.chassis import devices
from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint
from weftwork.drivers.ovsdb.wire import Named, RowId
from weftwork.program.chassis import ChassisPort
from weftwork.program.linux import LinkKind
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Key, Program
from weftwork.seams.driver import Applied
from weftwork.seams.marking import Standing

MARK = "weftwork"
"""Interfaces of ours hold their scope under this key of `external_ids`."""
DEPLOYMENT = "weftwork-deployment"
"""And whose of ours they are under this one; those from before deployments lack it."""
INSTALL_TIMEOUT_S = 30.0
_ZONE = "ct-zone-"
"""Under these keys ovn-controller writes the zones of connection tracking that it gave out to the bridge."""
_WATCHED = {
    "Bridge": ("name", "ports", "external_ids"),
    "Port": ("name", "interfaces", "external_ids"),
    "Interface": ("name", "external_ids", "error"),
}


class ChassisDriver:
    """`netns` holds the bridge, empty for the namespace that we stand in; belongs to one event loop.

    What is plugged for another deployment is a stranger's.
    """

    def __init__(
        self,
        database: Endpoint,
        *,
        netns: str = "",
        bridge: str = "br-int",
        without_offload: bool = True,
        install_timeout_s: float = INSTALL_TIMEOUT_S,
        deployment: str = "",
    ) -> None:
        self._client = Client((database,), "Open_vSwitch", _WATCHED, code="OVS_CONNECTION_FAILED")
        self._client.listen(self._note)
        self._netns = netns
        self._deployment = deployment
        self._bridge = bridge
        self._without_offload = without_offload
        self._install_timeout_s = install_timeout_s
        self._changed = asyncio.Event()
        self._heard: set[RowId] | None = None
        """Interfaces that changed since somebody looked at them; None when nobody waits."""

    async def close(self) -> None:
        await self._client.close()

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        """Plugged ports and what is half a port: a device that is not plugged, or a plug without its device."""
        await self._client.catch_up()
        made = await asyncio.to_thread(devices.observe, self._netns, self._deployment)
        plugs = {row["name"]: row["external_ids"] for row in (await self._ours()).values()}
        found = [_plugged(name, made.get(name), plugs.get(name, {})) for name in made.keys() | plugs.keys()]
        return frozenset(port for port in found if scopes is None or port.scope in scopes)

    async def logical_port(self, device: str) -> str:
        """What OVN calls the port behind a device of ours; empty for a device that is not plugged in here."""
        await self._client.catch_up()
        plugged = (row["external_ids"] for row in (await self._ours()).values() if row["name"] == device)
        return str(next((ids.get("iface-id", "") for ids in plugged), ""))

    async def standing(self) -> Standing:
        """Names of ports by deployment."""
        await self._client.catch_up()
        found: dict[str, set[str]] = defaultdict(set)
        for name, deployment in (await asyncio.to_thread(devices.standing, self._netns)).items():
            found[deployment].add(name)
        for row in (await self._client.rows("Interface")).values():
            if MARK in row["external_ids"]:
                found[row["external_ids"].get(DEPLOYMENT, "")].add(row["name"])
        return {deployment: frozenset(names) for deployment, names in found.items()}

    async def adopt(self, deployments: frozenset[str]) -> None:
        await self._client.catch_up()
        for name, deployment in (await asyncio.to_thread(devices.standing, self._netns)).items():
            if deployment in deployments:
                await asyncio.to_thread(devices.give, self._netns, name, self._deployment)
        operations = [
            wire.put_in_map(table, uuid, "external_ids", DEPLOYMENT, self._deployment)
            for table in ("Interface", "Port")
            for uuid, row in (await self._client.rows(table)).items()
            if MARK in row["external_ids"] and row["external_ids"].get(DEPLOYMENT, "") in deployments
        ]
        if operations:
            await self._client.transact(operations)

    async def zones(self) -> Mapping[str, int]:
        """Of connection tracking, by what ovn-controller calls them (ovn-controller(8), `ct-zone-*`)."""
        await self._client.catch_up()
        ids = (await self._client.rows("Bridge"))[await self._bridge_row()]["external_ids"]
        return {key.removeprefix(_ZONE): int(value) for key, value in ids.items() if key.startswith(_ZONE)}

    async def apply(self, plan: Plan) -> Applied:
        failures: dict[Key, Failure] = {}
        gone: list[str] = []
        new: list[ChassisPort] = []
        for step in plan:
            match step:
                case Create(ChassisPort() as port):
                    new.append(port)
                case Replace(old, ChassisPort() as port):
                    gone.append(old.key[2])
                    new.append(port)
                case Delete(old):
                    gone.append(old.key[2])
        await self._unplug(gone)
        await asyncio.to_thread(self._remove, gone, failures)
        await asyncio.to_thread(self._make, new, failures)
        ready = [port for port in new if port.key not in failures]
        await self._plug(ready)
        failures |= await self._wait_for_flows(ready)
        return Applied(failures)

    async def _ours(self) -> Mapping[RowId, wire.Row]:
        rows = await self._client.rows("Interface")
        return {uuid: row for uuid, row in rows.items() if self._is_ours(row)}

    def _is_ours(self, row: wire.Row) -> bool:
        ids = row["external_ids"]
        return MARK in ids and ids.get(DEPLOYMENT, "") == self._deployment

    def _remove(self, names: Sequence[str], failures: dict[Key, Failure]) -> None:
        for name in names:
            devices.remove(self._netns, name, self._deployment)

    def _make(self, ports: Sequence[ChassisPort], failures: dict[Key, Failure]) -> None:
        for port in ports:
            try:
                devices.make(self._netns, port, self._deployment, without_offload=self._without_offload)
            except Failure as failure:
                failures[port.key] = failure

    async def _plug(self, ports: Sequence[ChassisPort]) -> None:
        """All in one transaction."""
        bridge = await self._bridge_row()
        present = {row["name"] for row in (await self._client.rows("Port")).values()}
        operations: list[Mapping[str, Any]] = []
        plugged: list[Named] = []
        for number, port in enumerate(one for one in ports if one.name not in present):
            inner, outer = Named(f"interface{number}"), Named(f"port{number}")
            mark = {MARK: port.scope} | ({DEPLOYMENT: self._deployment} if self._deployment else {})
            ids = mark | {"iface-id": port.iface_id, "attached-mac": str(port.mac)}
            operations.append(wire.insert("Interface", {"name": port.name, "external_ids": ids}, inner.name))
            row = {"name": port.name, "interfaces": inner, "external_ids": mark}
            operations.append(wire.insert("Port", row, outer.name))
            plugged.append(outer)
        if plugged:
            operations.append(wire.mutate("Bridge", bridge, "ports", "insert", plugged))
            await self._client.transact([*operations, *await self._next_configuration()])

    async def _unplug(self, names: Sequence[str]) -> None:
        ports = await self._client.rows("Port")
        doomed = [uuid for uuid, row in ports.items() if row["name"] in names and self._is_ours(row)]
        if doomed:
            bridge = await self._bridge_row()
            take_out = wire.mutate("Bridge", bridge, "ports", "delete", doomed)
            await self._client.transact([take_out, *await self._next_configuration()])

    async def _next_configuration(self) -> list[Mapping[str, Any]]:
        """So that vswitchd looks (vswitchd.conf.db(5), next_cfg)."""
        mutation = [["next_cfg", "+=", 1]]
        return [{"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutation}]

    async def _bridge_row(self) -> RowId:
        rows = await self._client.rows("Bridge")
        for uuid, row in rows.items():
            if row["name"] == self._bridge:
                return uuid
        raise Failure("OVS_CONNECTION_FAILED", f"Open vSwitch has no bridge {self._bridge}")

    async def _wait_for_flows(self, ports: Sequence[ChassisPort]) -> Mapping[Key, Failure]:
        """Looks at all interfaces once, and then at those that changed: a port costs the same among thousands."""
        waiting = {port.name: port for port in ports}
        errors: dict[str, str] = {}
        self._heard = set(await self._client.rows("Interface"))
        try:
            async with asyncio.timeout(self._install_timeout_s):
                while waiting:
                    rows = await self._client.rows("Interface")
                    heard, self._heard = self._heard or (), set()
                    self._changed.clear()
                    for row in (rows[uuid] for uuid in heard if uuid in rows):
                        if row["external_ids"].get("ovn-installed") == "true" and MARK in row["external_ids"]:
                            waiting.pop(row["name"], None)
                        elif row["error"]:
                            errors[row["name"]] = str(row["error"])
                    if waiting:
                        await self._changed.wait()
                return {}
        except TimeoutError:
            limit = f"its flows were not installed within {self._install_timeout_s:.0f} s"
            return {port.key: Failure("OVN_NOT_INSTALLED", errors.get(name) or limit) for name, port in waiting.items()}
        finally:
            self._heard = None

    def _note(self, table: str, uuid: RowId) -> None:
        if table == "Interface":
            if self._heard is not None:
                self._heard.add(uuid)
            self._changed.set()


def _plugged(name: str, made: ChassisPort | None, ids: Mapping[str, str]) -> ChassisPort:
    """A plug without a device has a MAC that no port has, so that it is made anew."""
    scope = ids.get(MARK, "")
    if made is None:
        return ChassisPort(scope, name, LinkKind.TAP, ids.get("iface-id", ""), devices.NOBODY, 0)
    return ChassisPort(
        scope=made.scope,
        name=name,
        kind=made.kind,
        iface_id=ids.get("iface-id", "") if scope == made.scope else "",
        mac=made.mac,
        mtu_bytes=made.mtu_bytes,
        peer_netns=made.peer_netns,
        peer_name=made.peer_name,
    )
