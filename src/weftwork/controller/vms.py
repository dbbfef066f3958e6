"""How each VM is: what its host tells, what became of its image, and what was asked for meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakSet

from weftwork.actions.view import IntentView
from weftwork.base.errors import Failure, Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey
from weftwork.model.vm import Vm
from weftwork.program.resource import Key
from weftwork.seams.channel import Report
from weftwork.seams.clock import Clock
from weftwork.seams.guests import GuestHost, GuestState, GuestStatus
from weftwork.seams.vms import Changes, VmFacts, VmState

PULLING = "PULLING_IMAGE"
PROGRAMMING = "PROGRAMMING"
RESTARTING = "RESTARTING"
_STATES = {state: VmState(state.value) for state in GuestState}


class VmBoard:
    """Implements `seams.vms.Vms` for the VMs of this machine. `told` are the words of images under way."""

    def __init__(self, view: IntentView, guests: GuestHost, clock: Clock) -> None:
        self._view = view
        self._guests = guests
        self._clock = clock
        self._names: dict[str, ThingKey] = {}
        self._images: dict[str, VmFacts] = {}
        self._failures: dict[str, Failure] = {}
        self._ground: Failure | None = None
        self._host_keys: dict[str, str] = {}
        self._watchers: WeakSet[Changes] = WeakSet()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_guests())
            tasks.create_task(self._follow_intent())

    def facts(self, vm: Vm) -> VmFacts:
        self._names[vm.id] = ThingKey("vm", vm.owner, vm.name)
        if not vm.digest and vm.id in self._images:
            return self._images[vm.id]
        failure = self._failures.get(vm.id) or self._ground
        status = self._guests.status(vm.id)
        if failure is not None and (status is None or status.state is not GuestState.RUNNING):
            return VmFacts(VmState.ERROR, failure.code, failure.message, vm.created_at)
        if status is None:
            if vm.is_started:
                return VmFacts(VmState.INIT, PROGRAMMING, "its host does not have it yet", vm.created_at)
            return VmFacts(VmState.STOPPED, "", "it was never started", vm.created_at)
        return _told(vm, status)

    def host_key(self, vm: Vm) -> str:
        return self._host_keys.get(vm.id, "")

    def show_host_key(self, vm_id: str, text: str) -> None:
        self._host_keys[vm_id] = text

    def changes(self) -> AsyncIterator[ThingKey]:
        changes = Changes()
        self._watchers.add(changes)
        return changes

    async def console(self, vm: Vm, *, follow: bool) -> AsyncIterator[bytes]:
        async for data in self._guests.console(vm.id, follow=follow):
            yield data

    async def connect(self, vm: Vm) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._guests.connect(vm.id)

    def pulling(self, vm: Vm, words: str) -> None:
        now_s = self._clock.now_s()
        before = self._images.get(vm.id)
        since_s = before.since_s if before and before.state is VmState.BUILDING_FILESYSTEM else now_s
        self._images[vm.id] = VmFacts(VmState.BUILDING_FILESYSTEM, PULLING, words, since_s)
        self._tell(ThingKey("vm", vm.owner, vm.name))

    def no_image(self, vm: Vm, error: Refusal | Failure) -> None:
        self._images[vm.id] = VmFacts(VmState.ERROR, error.code, error.message, self._clock.now_s())
        self._tell(ThingKey("vm", vm.owner, vm.name))

    def take(self, report: Report) -> None:
        """What the loop of guests could not do."""
        failures = {key[-1]: why for key, why in report.failures.items() if key[0] == "guest"}
        ground = next((why for key, why in report.failures.items() if _is_ground(key)), None)
        changed = {
            one for one in failures.keys() | self._failures.keys() if failures.get(one) != self._failures.get(one)
        }
        if ground != self._ground:
            changed |= self._names.keys()
        self._failures, self._ground = failures, ground
        for vm_id in changed & self._names.keys():
            self._tell(self._names[vm_id])

    async def _follow_guests(self) -> None:
        async for vm_id, _ in self._guests.changes():
            key = self._names.get(vm_id) or self._found(vm_id)
            if key is not None:
                self._tell(key)

    async def _follow_intent(self) -> None:
        async for change in self._view.subscribe():
            for key in change.keys:
                if key.kind == "vm":
                    self._keep(key)
                    self._tell(key)

    def _keep(self, key: ThingKey) -> None:
        """Who has a name now, and who has none any more."""
        vm = self._view.find(key)
        now = vm.id if isinstance(vm, Vm) else ""
        for vm_id in [one for one, name in self._names.items() if name == key and one != now]:
            del self._names[vm_id]
            self._images.pop(vm_id, None)
            self._host_keys.pop(vm_id, None)
        if now:
            self._names[now] = key

    def _found(self, vm_id: str) -> ThingKey | None:
        for owner, project in self._view.intent.items():
            for vm in project.vms.values():
                if vm.id == vm_id:
                    self._names[vm_id] = ThingKey("vm", ProjectKey(*owner), vm.name)
                    return self._names[vm_id]
        return None

    def _tell(self, key: ThingKey) -> None:
        for watcher in self._watchers:
            watcher.put(key)


def _told(vm: Vm, status: GuestStatus) -> VmFacts:
    """A host may still be at what was asked for before."""
    state, code, why = _STATES[status.state], status.code, status.why
    if not vm.is_started and state in (VmState.BUILDING_FILESYSTEM, VmState.BOOTING, VmState.RUNNING):
        state, why = VmState.STOPPING, "its host is still to stop it"
    elif vm.is_started and status.run != vm.run and state in (VmState.RUNNING, VmState.STOPPED, VmState.ERROR):
        state, code, why = VmState.BOOTING, RESTARTING, "its host is still to start it"
    if not why and status.exit_code is not None:
        why = f"its command ended with {status.exit_code}"
    return VmFacts(state, code, why, int(status.since.timestamp()), status.restarts)


def _is_ground(key: Key) -> bool:
    return key[0] == "target"
