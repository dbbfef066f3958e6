"""A real server over a real store, in this process, with one tenant's things and a stranger's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from weftwork.actions.network import Network, NetworkSettings, ReservedRange
from weftwork.actions.tokens import TokenBook
from weftwork.actions.view import IntentView
from weftwork.api.calls import Calls
from weftwork.api.doors import Doors
from weftwork.api.entrance import Entrance
from weftwork.api.server import serve
from weftwork.base.addresses import Cidr
from weftwork.base.codes import TARGET_NOT_FOUND
from weftwork.client import Client, policy_rule, rule
from weftwork.model.keys import ROOT, ThingKey
from weftwork.rpc.decode import cidr
from weftwork.seams.conditions import Condition, ConditionChange, Status
from weftwork.seams.insight import Leak, PlanPreview, TargetState, TargetSummary
from weftwork.seams.store import Put, Record, Remove, Transaction, Write
from weftwork.store.sqlite.store import SqliteStore

OURS = "acme/web"
THEIRS = "rival/lab"


class WallClock:
    def now_s(self) -> int:
        return int(time.time())


class NoHostConditions:
    """What is known where no agent runs: that things are accepted."""

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        return (Condition("Accepted", Status.TRUE, "", "", revision, 0),) if revision else ()

    async def watch(self) -> AsyncIterator[ConditionChange]:
        await asyncio.Event().wait()
        raise AssertionError("nothing ever changes")
        yield


class NoHostInsight:
    """The answers where no agent runs."""

    async def plan(self, writes: tuple[Write, ...]) -> PlanPreview:
        return PlanPreview(tuple(write.key for write in writes), ())

    async def targets(self) -> tuple[TargetSummary, ...]:
        return ()

    async def target(self, host: str, driver: str, scope: str) -> TargetState:
        raise TARGET_NOT_FOUND.refusal(f"there is no host {host!r}")

    async def leaks(self) -> tuple[Leak, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class World:
    """`port_id` is ours, `foreign_port_id` the stranger's; `channel` takes raw calls."""

    store: SqliteStore
    network: Network
    client: Client
    channel: grpc.aio.Channel
    address: str
    calls: Calls
    port_id: str
    foreign_port_id: str
    baseline: tuple[Record, ...]

    @property
    def doors(self) -> Doors:
        return Doors(self.network, NoHostConditions(), NoHostInsight(), tokens=TokenBook(WallClock()))

    async def records(self) -> tuple[Record, ...]:
        return (await self.store.range("/")).records

    async def restore(self) -> None:
        """The store as it was when the world began (but for revisions)."""
        then = {record.key: record.value for record in self.baseline}
        now = {record.key: record.value for record in await self.records()}
        writes = (
            *(Put(key, value) for key, value in then.items() if now.get(key) != value),
            *(Remove(key) for key in now if key not in then),
        )
        if writes:
            revision = await self.store.commit(Transaction((), writes))
            if any(write.key.startswith(ROOT) for write in writes):
                assert await self.network.view.wait_for(revision)


def settings() -> NetworkSettings:
    reserved = ReservedRange(cidr("100.64.0.0/16", "reserved"), "the underlay")
    external: tuple[Cidr, ...] = (cidr("203.0.113.0/24", "external"),)
    return NetworkSettings(reserved=(reserved,), external=external)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(folder / "store.db")
    view = IntentView()
    await view.start(store)
    network = Network(store, view, WallClock(), settings())
    socket = f"unix:{folder}/api.sock"
    try:
        async with (
            await serve(
                network=network,
                conditions=NoHostConditions(),
                insight=NoHostInsight(),
                addresses=[socket],
                entrance=Entrance(tokens=TokenBook(WallClock())),
            ) as server,
            await Client.connect(socket) as client,
            grpc.aio.insecure_channel(socket) as channel,
        ):
            foreign = await furnish(client, THEIRS)
            ours = await furnish(client, OURS)
            baseline = (await store.range("/")).records
            yield World(store, network, client, channel, socket, server.calls, ours, foreign, baseline)
    finally:
        await view.close()
        await store.close()


async def furnish(client: Client, project: str) -> str:
    """One of each thing; the id of the port."""
    await client.create_vpc(project, cidr="10.20.0.0/16")
    await client.create_subnet(project, "data", cidr="10.20.1.0/24")
    await client.create_security_group(project, "web", ingress=[rule("tcp", "0.0.0.0/0", 80)])
    port = await client.create_port(project, name="p1", ip="10.20.0.3", groups=["web"])
    await client.create_port(project, name="p2", subnet="data", vm="vm-2")
    await client.create_snat(project)
    await client.create_dnat(project, external_port=80, protocol="tcp", internal_ip=port.ip_address)
    await client.create_network_policy(
        project, "apart", "isolation", 10, subnet="data", rules=[policy_rule("allow", "tcp", "web", 80)]
    )
    await client.create_reach_test(
        project, "t1", must="not-reach", source="group:web", destination="internet", service="tcp/25"
    )
    return port.id
