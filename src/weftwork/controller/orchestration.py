"""VMs on the bus: what the outbox holds, how each VM is, and requests of control planes that are not ours."""

import asyncio
import logging
from collections.abc import Mapping

from google.protobuf.message import DecodeError

from weftwork.access.caller import ITSELF
from weftwork.actions.journal import Author
from weftwork.actions.network import Network
from weftwork.actions.vm_words import Wanted
from weftwork.actions.vms import create_vm, stop_vm
from weftwork.base import codes
from weftwork.base.errors import Failure, Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.ssh_key import parse_public_key
from weftwork.model.vm import Vm
from weftwork.rpc import pitwall
from weftwork.rpc.generated.pitwall.v1 import vm_pb2 as pb
from weftwork.seams.bus import Bus, Message
from weftwork.seams.store import Compacted, Remove, Transaction
from weftwork.seams.vms import Vms

log = logging.getLogger(__name__)

RETRY_S = 1.0
AT_ONCE = 100


class Outbox:
    """Says what is in the store to be said, in order, and forgets it once the bus has it: at least once, then."""

    def __init__(self, network: Network, bus: Bus) -> None:
        self._store = network.store
        self._bus = bus

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except Compacted:
                continue
            except Failure as failure:
                log.warning("the outbox waits: %s", failure)
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        revision = await self.drain()
        async for _ in self._store.watch(keys.outbox(), after=revision):
            await self.drain()

    async def drain(self) -> int:
        """The revision up to which all is said."""
        while True:
            found = await self._store.range(keys.outbox(), limit=AT_ONCE)
            for record in found.records:
                key, _, body = record.value.partition(b"\n")
                await self._bus.publish(Message(key.decode(), body, record.key.removeprefix(keys.outbox())))
                await self._store.commit(Transaction((), (Remove(record.key),)))
            if not found.more:
                return found.revision


class Statuses:
    """Says how each VM is: all of them in the beginning, then each that changes."""

    def __init__(self, network: Network, bus: Bus, vms: Vms, host: str) -> None:
        self._network = network
        self._bus = bus
        self._vms = vms
        self._host = host
        self._said: dict[str, bytes] = {}

    async def run(self) -> None:
        """Until cancelled."""
        changes = self._vms.changes()
        for owner, project in list(self._network.view.intent.items()):
            for name in list(project.vms):
                await self._say(ThingKey("vm", owner, name))
        async for key in changes:
            await self._say(key)

    async def _say(self, key: ThingKey) -> None:
        vm = self._network.view.find(key)
        if not isinstance(vm, Vm):
            return
        facts = self._vms.facts(vm)
        project = self._network.view.intent.get(vm.owner, ProjectIntent())
        ports = [project.ports[one] for one in vm.ports if one in project.ports]
        told = pitwall.status(vm, ports, facts.state.value, vm.host or self._host, facts.code, facts.why)
        body = told.SerializeToString()
        if self._said.get(vm.id) == body:
            return
        message_id = f"{vm.id}-{vm.run}-{facts.state.value}-{facts.since_s}"
        await _said_for_sure(self._bus, Message(pitwall.STATUS + facts.state.value, body, message_id))
        self._said[vm.id] = body


class Requests:
    """What other control planes ask for, in one project: each of their numbers is one VM, however often it is asked."""

    def __init__(self, network: Network, bus: Bus, host: str, project: ProjectKey | None, deployment: str) -> None:
        self._network = network.on_behalf(Author("bus", host, "VMRequest"), ITSELF)
        self._bus = bus
        self._host = host
        self._project = project
        self._deployment = deployment

    async def run(self) -> None:
        """Until cancelled."""
        name = pitwall.CRUD + self._host
        await self._bus.consume(name, name, self.take)

    async def take(self, message: Message) -> None:
        """Ours are what the store says already; those that make no sense are let go of, and said to be wrong."""
        try:
            request = pb.VMRequest.FromString(message.body)
        except DecodeError:
            log.warning("message %s is no VMRequest", message.id)
            return
        if request.deployment:
            return
        number = request.create.id if request.type == pb.CREATE else request.stop.id
        try:
            await self._carry_out(request)
        except Refusal as refusal:
            log.warning("VM %d of another control plane: %s", number, refusal)
            vm = pb.VM(id=number, status="ERROR", host=self._host, reason=refusal.code, message=refusal.message)
            await _said_for_sure(
                self._bus, Message(f"{pitwall.STATUS}ERROR", vm.SerializeToString(), f"{message.id}-refused")
            )

    async def _carry_out(self, request: pb.VMRequest) -> None:
        if self._project is None:
            raise codes.NO_VMS_HERE.refusal("this server takes no requests of other control planes")
        there = self._by_number(self._project)
        if request.type == pb.CREATE:
            if request.create.id not in there:
                await create_vm(self._network, owner=self._project, wanted=_wanted(request.create))
        elif (vm := there.get(request.stop.id)) is not None:
            await stop_vm(self._network, owner=self._project, vm=vm.id)

    def _by_number(self, project: ProjectKey) -> Mapping[int, Vm]:
        there = self._network.view.intent.get(project, ProjectIntent())
        return {pitwall.number_of(vm): vm for vm in there.vms.values()}


async def announce(bus: Bus, host: str, status: str) -> None:
    """UP or DOWN, as Pitwall's orchestrators say. Raises Failure BUS_UNAVAILABLE."""
    told = pb.Orchestrator(name=host, status=status)
    await bus.publish(Message(pitwall.HEALTH, told.SerializeToString(), f"{host}-{status}"))


async def _said_for_sure(bus: Bus, message: Message) -> None:
    while True:
        try:
            await bus.publish(message)
            return
        except Failure as failure:
            log.warning("%s is still to be said: %s", message.key, failure)
            await asyncio.sleep(RETRY_S)


def _wanted(create: pb.CreateVMRequest) -> Wanted:
    metadata = ((pitwall.ID, str(create.id)), (pitwall.OWNER, create.owner))
    return Wanted(
        name=create.name or f"vm-{create.id}",
        image=create.imageName,
        metadata=tuple(pair for pair in metadata if pair[1]),
        public_keys=tuple(_keys(create.publicKey)),
    )


def _keys(text: str) -> list[str]:
    try:
        return [parse_public_key(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise codes.INVALID_SSH_KEY.refusal(str(error), field="publicKey") from None
