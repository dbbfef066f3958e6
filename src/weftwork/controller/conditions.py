"""What each resource's state is, from the reports. Nothing of it is stored: agents tell it again."""

import asyncio
from collections.abc import AsyncIterator

from weftwork.actions.view import IntentView
from weftwork.base.errors import Failure
from weftwork.controller.publisher import Publisher
from weftwork.controller.review import told
from weftwork.model.keys import ThingKey, peer_in
from weftwork.model.vm import Vm
from weftwork.program.resource import Key
from weftwork.seams.channel import Report
from weftwork.seams.clock import Clock
from weftwork.seams.conditions import Condition, ConditionChange, Status
from weftwork.seams.vms import NoVms, Vms, VmState

_NO_AGENT = "no agent is connected to this server"


class ConditionBoard:
    """Implements `seams.conditions.Conditions` for one host; `publisher` is None where no agent runs."""

    def __init__(self, view: IntentView, publisher: Publisher | None, clock: Clock) -> None:
        self._view = view
        self._publisher = publisher
        self._clock = clock
        self._began_s = clock.now_s()
        self._report = Report(host="", generation=0)
        self._waiting: dict[ThingKey, int] = {}
        self._failing: frozenset[ThingKey] = frozenset()
        self._since: dict[ThingKey, tuple[Status, int]] = {}
        self._watchers: set[_Mailbox] = set()
        self.vms: Vms = NoVms()
        if publisher is not None:
            publisher.review.alarmed = self._alarmed

    @property
    def has_agents(self) -> bool:
        """Whether anybody makes it so."""
        return self._publisher is not None

    async def run(self) -> None:
        """Follow the intent, so that watchers hear of things accepted and gone. Until cancelled."""
        async for change in self._view.subscribe():
            if self.has_agents:
                self._waiting.update(dict.fromkeys(change.keys, change.revision))
                self._announce_tried()
            self._tell(change.keys | {_other_half(key) for key in change.keys if key.kind == "peering"})

    def take(self, report: Report) -> None:
        """An agent's report arrived."""
        changed_failures = report.failures.keys() ^ self._report.failures.keys()
        self._report = report
        if changed_failures:
            self._tell(self._touched_by(changed_failures))
        self._announce_tried()

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        if revision == 0:
            return ()
        accepted = Condition("Accepted", Status.TRUE, "", "", revision, self._accepted_at(key))
        peered = (self._peered(key, revision),) if key.kind == "peering" else ()
        running = (self._running(key, revision),) if key.kind == "vm" else ()
        return (accepted, self._programmed(key, revision), *peered, *running)

    async def follow_vms(self) -> None:
        """Until cancelled."""
        async for key in self.vms.changes():
            self._tell(frozenset({key}))

    async def watch(self) -> AsyncIterator[ConditionChange]:
        mailbox = _Mailbox()
        self._watchers.add(mailbox)
        try:
            while True:
                for key in await mailbox.take():
                    yield ConditionChange(key, self._state(key))
        finally:
            self._watchers.discard(mailbox)

    def _state(self, key: ThingKey) -> tuple[Condition, ...]:
        """Of a thing that was removed: still programmed (False) until the hosts have let go of it, then nothing."""
        revision = self._view.revision_of(key)
        if revision:
            return self.of(key, revision)
        gone_at = self._waiting.get(key, 0)
        if gone_at and self.has_agents:
            message = "removed from the intent; the host still has to let go of it"
            return (Condition("Programmed", Status.FALSE, "DELETING", message, gone_at, self._clock.now_s()),)
        return ()

    def _peered(self, key: ThingKey, revision: int) -> Condition:
        """As of the half that came last. Why the other is missing, whether it could be there, is not told."""
        other = self._view.revision_of(_other_half(key))
        if not other:
            message = "the other project has no half towards this one"
            return Condition("Peered", Status.FALSE, "PENDING", message, revision, self._accepted_at(key))
        since = max(self._accepted_at(key), self._accepted_at(_other_half(key)))
        return Condition("Peered", Status.TRUE, "", "", revision, since)

    def _running(self, key: ThingKey, revision: int) -> Condition:
        vm = self._view.find(key)
        assert isinstance(vm, Vm), "asked of VMs that are there"
        facts = self.vms.facts(vm)
        if facts.state is VmState.RUNNING:
            return Condition("Running", Status.TRUE, "", "", revision, facts.since_s)
        return Condition(
            "Running",
            Status.FALSE,
            facts.code or facts.state.value,
            facts.why,
            revision,
            facts.since_s,
        )

    def _programmed(self, key: ThingKey, revision: int) -> Condition:
        if not self.has_agents:
            since = max(self._accepted_at(key), self._began_s)
            return Condition("Programmed", Status.UNKNOWN, "NO_AGENT", _NO_AGENT, revision, since)
        status, reason, message = self._judge(key, revision)
        before = self._since.get(key)
        if before is None or before[0] is not status:
            before = (status, self._clock.now_s())
            self._since[key] = before
        return Condition("Programmed", status, reason, message, revision, before[1])

    def _judge(self, key: ThingKey, revision: int) -> tuple[Status, str, str]:
        assert self._publisher is not None, "asked only where there are agents"
        alarm = self._publisher.alarm_of(key)
        if alarm is not None:
            return Status.FALSE, "ISOLATION_VIOLATED", told(alarm)
        failure = self._failure_of(key)
        if failure is not None:
            return Status.FALSE, failure.code, failure.message
        if self._report.generation < revision:
            return Status.FALSE, "PROGRAMMING", f"the host is at revision {self._report.generation}"
        return Status.TRUE, "", ""

    def _failure_of(self, key: ThingKey) -> Failure | None:
        failures = self._report.failures
        if not failures or self._publisher is None:
            return None
        for failing in failures:
            if failing[0] == "target":
                return failures[failing]
        keys = (resource.key for resource in self._publisher.resources_of(key))
        return next((failures[one] for one in keys if one in failures), None)

    def _touched_by(self, keys: frozenset[Key] | set[Key]) -> frozenset[ThingKey]:
        """The things that stand on any of these resources: rare, so it may look at all of the scope's."""
        if self._publisher is None:
            return frozenset()
        return frozenset(
            thing
            for thing in self._view.thing_keys()
            if any(resource.key in keys for resource in self._publisher.resources_of(thing))
        )

    def _alarmed(self, scopes: frozenset[str]) -> None:
        """What is kept back changed; rare, so it may look at everything."""
        self._tell(frozenset(self._view.thing_keys()))

    def _announce_tried(self) -> None:
        """Things whose revision the host has now tried."""
        tried = [key for key, revision in self._waiting.items() if self._is_tried(key, revision)]
        for key in tried:
            del self._waiting[key]
            if not self._view.revision_of(key):
                self._since.pop(key, None)
        if tried:
            self._tell(frozenset(tried))

    def _is_tried(self, key: ThingKey, revision: int) -> bool:
        return revision <= self._report.generation

    def _accepted_at(self, key: ThingKey) -> int:
        thing = self._view.find(key)
        return thing.created_at if thing is not None else 0

    def _tell(self, keys: frozenset[ThingKey]) -> None:
        for mailbox in self._watchers:
            mailbox.put(keys)


def _other_half(key: ThingKey) -> ThingKey:
    return ThingKey("peering", peer_in(key), str(key.owner))


class _Mailbox:
    """Keys whose state changed since the reader last looked: it may be slow, never flooded."""

    def __init__(self) -> None:
        self._keys: dict[ThingKey, None] = {}
        self._filled = asyncio.Event()

    def put(self, keys: frozenset[ThingKey]) -> None:
        self._keys.update(dict.fromkeys(sorted(keys, key=str)))
        self._filled.set()

    async def take(self) -> tuple[ThingKey, ...]:
        await self._filled.wait()
        self._filled.clear()
        keys, self._keys = tuple(self._keys), {}
        return keys
