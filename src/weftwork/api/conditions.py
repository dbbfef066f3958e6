"""Watching conditions, and waiting for one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress

from weftwork.actions.find import (
    group_of,
    peering_of,
    policy_of,
    port_of,
    reach_test_of,
    ssh_key_of,
    subnet_of,
    vm_of,
    vpc_of,
)
from weftwork.actions.network import Network
from weftwork.actions.rows import key_of
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft
from weftwork.seams.conditions import Condition, ConditionChange, Conditions, Status

WATCH = "/weftwork.v1.ConditionService/WatchConditions"
WAIT = "/weftwork.v1.ConditionService/WaitForCondition"


async def watch_conditions(doors: Doors, request: weft.WatchConditionsRequest) -> AsyncIterator[weft.ConditionEvent]:
    """First the conditions as they are, then every change of them; of the project, of a kind, or of one thing."""
    owner = decode.owner(request)
    kind = decode.kind(request.kind, "kind") if request.kind else None
    only = None
    if request.id:
        if kind is None:
            raise decode.refusal(codes.MISSING_FIELD, "kind", "an id needs its kind")
        only = find(doors.network, ThingKey(kind, owner, decode.thing_name(kind, request.id, "id", owner)))

    def wanted(key: ThingKey) -> bool:
        return key == only if only else key.owner == owner and kind in (None, key.kind)

    async with changes(doors.conditions) as news:
        for key in filter(wanted, _keys(doors.network, owner)):
            conditions = _now(doors, key)
            yield telling.condition_event(key, conditions, deleted=not conditions)
        async for change in news:
            if wanted(change.key):
                yield telling.condition_event(change.key, change.conditions, deleted=not change.conditions)


async def wait_for_condition(doors: Doors, request: weft.WaitForConditionRequest) -> weft.ConditionEvent:
    """True at the revision or later, gone, or the time is over: whatever comes first."""
    timeout_s = decode.wait_s(request.timeout_s, "timeout_s")
    type_ = decode.condition_type(request.type, "type")
    key = find(doors.network, decode.resource(request.resource, "resource"))
    revision = request.revision or doors.network.view.revision_of(key)
    conditions: tuple[Condition, ...] = _now(doors, key)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s), changes(doors.conditions) as news:
            conditions = _now(doors, key)
            while conditions and not is_met(conditions, type_, revision):
                change = await anext(news)
                if change.key == key:
                    conditions = change.conditions
    met = is_met(conditions, type_, revision)
    return telling.condition_event(key, conditions, deleted=not conditions, met=met)


def find(network: Network, asked: ThingKey) -> ThingKey:
    """The thing that a person named. Refusal when the project has none."""
    owner = asked.owner
    here, _ = vpc_of(network, owner)
    match asked.kind:
        case "port":
            return ThingKey("port", owner, port_of(here, owner, asked.name).id)
        case "subnet":
            return ThingKey("subnet", owner, subnet_of(here, owner, asked.name).name)
        case "security-group":
            return ThingKey("security-group", owner, group_of(here, owner, asked.name).name)
        case "reach-test":
            return ThingKey("reach-test", owner, reach_test_of(here, owner, asked.name).name)
        case "snat" if here.intent.snat is None:
            raise codes.SNAT_NOT_FOUND.refusal(f"project {owner} has no SNAT")
        case "dnat" if asked.name not in here.intent.dnats:
            raise codes.DNAT_NOT_FOUND.refusal(f"project {owner} has no DNAT {asked.name}")
        case "subnet-share" if asked.name not in here.intent.shares:
            raise codes.SHARE_NOT_FOUND.refusal(f"project {owner} has no share {asked.name}")
        case "peering":
            return key_of(peering_of(here, owner, asked.name))
        case "vm":
            return key_of(vm_of(here, owner, asked.name))
        case "ssh-key":
            return key_of(ssh_key_of(here, owner, asked.name))
        case "network-policy":
            return key_of(policy_of(here, owner, asked.name))
    return asked


@asynccontextmanager
async def changes(conditions: Conditions) -> AsyncIterator[AsyncIterator[ConditionChange]]:
    """A watch that has begun: what changes after this is entered is not missed."""
    watch = conditions.watch()
    first = asyncio.ensure_future(anext(watch))

    async def following() -> AsyncGenerator[ConditionChange, None]:
        yield await first
        async for change in watch:
            yield change

    try:
        await asyncio.sleep(0)  # A generator starts to listen with its first step.
        async with aclosing(following()) as changes:
            yield changes
    finally:
        first.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await first


def _keys(network: Network, owner: ProjectKey) -> Iterable[ThingKey]:
    project = network.view.project(owner)
    return tuple(key_of(thing) for thing in project.things()) if project else ()


def _now(doors: Doors, key: ThingKey) -> tuple[Condition, ...]:
    return doors.conditions.of(key, doors.network.view.revision_of(key))


def is_met(conditions: Iterable[Condition], type_: str, revision: int) -> bool:
    return any(
        one.type == type_ and one.status is Status.TRUE and one.observed_revision >= revision for one in conditions
    )
