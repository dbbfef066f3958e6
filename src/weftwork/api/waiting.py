"""A change that is answered when the hosts have made it so, or when the time is over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from weftwork.api import telling
from weftwork.api.conditions import changes, is_met
from weftwork.api.doors import Doors
from weftwork.api.mutations import Mutation
from weftwork.api.operations import answer_class
from weftwork.api.subjects import SUBJECTS, subject_of
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import Kind, ThingKey
from weftwork.rpc import decode
from weftwork.seams.conditions import Condition, ConditionChange

KINDS: Mapping[str, Kind] = {
    "Vpc": "vpc",
    "Subnet": "subnet",
    "Port": "port",
    "SecurityGroup": "security-group",
    "SnatConfig": "snat",
    "DnatConfig": "dnat",
    "Peering": "peering",
    "NetworkPolicy": "network-policy",
    "ReachTest": "reach-test",
    "SubnetShare": "subnet-share",
    "Vm": "vm",
    "SshKey": "ssh-key",
}
"""Of the things that answers are, by message."""


@dataclass(frozen=True, slots=True)
class Wait:
    """For a condition of the thing that is changed; of one that is deleted, until the hosts have let go of it."""

    condition: str
    timeout_s: float


def can_wait(mutation: Mutation) -> bool:
    """Whether the change is one of a single thing."""
    return mutation.method in SUBJECTS or answer_class(mutation.method).DESCRIPTOR.name in KINDS


async def when_programmed(
    doors: Doors, mutation: Mutation, request: Message, wait: Wait, run: Callable[[], Awaitable[Message]]
) -> tuple[Message, bool]:
    """The answer, and whether the condition is met. Refusals of the change itself."""
    if not can_wait(mutation):
        raise decode.refusal(codes.INVALID_ARGUMENT, "wait", "there is no single thing to wait for")
    subject = subject_of(doors.network, mutation.method, request) if mutation.method in SUBJECTS else None
    # Listening from before the change: how it was made so may be over before its answer is here.
    async with changes(doors.conditions) as news:
        answer = await run()
        key = key_of(answer) or subject
        assert key is not None
        revision = doors.network.view.revision_of(key)
        if not revision:
            return answer, await _until_gone(key, news, wait)
        conditions = await _until_met(doors, key, revision, news, wait)
        _tell(answer, conditions)
        return answer, is_met(conditions, wait.condition, revision)


def key_of(answer: Any) -> ThingKey | None:
    """Of the thing that an answer is; None for what is none."""
    kind = KINDS.get(answer.DESCRIPTOR.name)
    match kind:
        case None:
            return None
        case "vpc":
            return ThingKey("vpc", ProjectKey(answer.org_id, answer.project_id))
        case "snat":
            return ThingKey("snat", _owner_in(answer.vpc_id))
        case "dnat":
            protocol = decode.protocol(answer.protocol, "protocol").value
            return ThingKey("dnat", _owner_in(answer.vpc_id), f"{answer.external_ip}:{answer.external_port}:{protocol}")
        case "port":
            name = answer.id
        case "peering":
            name = answer.peer
        case "subnet-share":
            name = f"{answer.subnet_id.rpartition('/')[2]}/{answer.to}"
        case _:
            name = answer.name
    return ThingKey(kind, ProjectKey(answer.org_id, answer.project_id), name)


def _owner_in(vpc_id: str) -> ProjectKey:
    org, _, project = vpc_id.partition("/")
    return ProjectKey(org, project)


async def _until_met(
    doors: Doors, key: ThingKey, revision: int, news: AsyncIterator[ConditionChange], wait: Wait
) -> tuple[Condition, ...]:
    conditions = doors.conditions.of(key, revision)
    with suppress(TimeoutError):
        async with asyncio.timeout(wait.timeout_s):
            while conditions and not is_met(conditions, wait.condition, revision):
                change = await anext(news)
                if change.key == key:
                    conditions = change.conditions
    return conditions


async def _until_gone(key: ThingKey, news: AsyncIterator[ConditionChange], wait: Wait) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait.timeout_s):
            async for change in news:
                if change.key == key and not change.conditions:
                    return True
    return False


def _tell(answer: Any, conditions: tuple[Condition, ...]) -> None:
    if "conditions" in answer.DESCRIPTOR.fields_by_name:
        del answer.conditions[:]
        answer.conditions.extend(map(telling.condition, conditions))
