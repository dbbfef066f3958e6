"""This machine as a host of VMs: their guests are published to a loop of its own, so that what boots holds up no rule.

It begins with the first VM: until then nothing is read and nothing is written.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from weftwork.actions.guest_secret import guest_secret_of
from weftwork.actions.network import Network
from weftwork.base.errors import Failure
from weftwork.compiler.guests import GuestProfile, compile_guests, host_key_seed
from weftwork.controller.publisher import ALONE, Publisher
from weftwork.controller.vm_images import VmImages
from weftwork.controller.vms import VmBoard
from weftwork.model.keys import ThingKey
from weftwork.model.vm import Vm
from weftwork.seams.channel import AgentLink
from weftwork.seams.images import ImageSource
from weftwork.seams.lease import Term

log = logging.getLogger(__name__)

RETRY_S = 1.0


class GuestAgent(AgentLink, Protocol):
    async def run(self) -> None: ...

    def stand_down(self) -> None: ...


HostKey = Callable[[bytes], str]
"""From a seed to the public key in OpenSSH's form."""


class VmHost:
    """`agent` makes guests so; `profile` is what they are compiled by, once the secret is known."""

    def __init__(
        self,
        network: Network,
        board: VmBoard,
        agent: GuestAgent,
        source: ImageSource,
        profile: Callable[[bytes], GuestProfile],
        host_key: HostKey,
        has_guests: Callable[[], bool] = lambda: False,
    ) -> None:
        """`has_guests`: some are there from before, wanted or not."""
        self._network = network
        self._board = board
        self._agent = agent
        self._images = VmImages(network, board, source)
        self._profile = profile
        self._host_key = host_key
        self._has_guests = has_guests

    async def run(self, term: Term = ALONE) -> None:
        """Until cancelled."""
        self._agent.stand_down()
        await self._first_vm()
        profile = self._profile(await self._secret())
        publisher = Publisher(self._network.view, partial(compile_guests, profile=profile), self._agent)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show_host_keys(profile.secret))
            tasks.create_task(self._board.run())
            tasks.create_task(self._images.run())
            tasks.create_task(self._agent.run())
            tasks.create_task(publisher.run(term))

    async def _secret(self) -> bytes:
        while True:
            try:
                return await guest_secret_of(self._network.store)
            except Failure as failure:
                log.warning("no guest is started: %s", failure)
                await asyncio.sleep(RETRY_S)

    async def _first_vm(self) -> None:
        changes = self._network.view.subscribe()
        if self._has_guests() or any(project.vms for project in self._network.view.intent.values()):
            return
        async for change in changes:
            if any(key.kind == "vm" for key in change.keys):
                return

    async def _show_host_keys(self, secret: bytes) -> None:
        view = self._network.view
        changes = view.subscribe()
        for key in [one for one in view.thing_keys() if one.kind == "vm"]:
            self._show(key, secret)
        async for change in changes:
            for key in change.keys:
                self._show(key, secret)

    def _show(self, key: ThingKey, secret: bytes) -> None:
        vm = self._network.view.find(key)
        if isinstance(vm, Vm):
            self._board.show_host_key(vm.id, self._host_key(host_key_seed(secret, vm.id)))
