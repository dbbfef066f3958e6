"""Fetches the images of VMs that have none yet, and writes down which they are."""

import asyncio
import contextlib
import logging

from weftwork.actions.network import Network
from weftwork.actions.vms import settle_image
from weftwork.base.errors import Failure, Refusal
from weftwork.controller.vms import VmBoard
from weftwork.model.keys import ThingKey
from weftwork.model.vm import Vm
from weftwork.seams.images import ImageSource

log = logging.getLogger(__name__)

AT_ONCE = 2
RETRY_S = (2.0, 10.0, 60.0)
"""How long to wait before an image is asked for again; the last one from then on."""


class VmImages:
    """One task for each VM that waits; what a server that ended had begun, the next one begins anew."""

    def __init__(self, network: Network, board: VmBoard, source: ImageSource) -> None:
        self._network = network
        self._board = board
        self._source = source
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Until cancelled."""
        view = self._network.view
        changes = view.subscribe()
        try:
            for key in [one for one in view.thing_keys() if one.kind == "vm"]:
                self._look(key)
            async for change in changes:
                for key in change.keys:
                    if key.kind == "vm":
                        self._look(key)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _look(self, key: ThingKey) -> None:
        vm = self._network.view.find(key)
        if isinstance(vm, Vm) and not vm.digest and vm.id not in self._tasks:
            task = asyncio.create_task(self._fetch(key, vm))
            self._tasks[vm.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(vm.id, None))

    async def _fetch(self, key: ThingKey, vm: Vm) -> None:
        """Until it is there, or nobody wants it any more."""
        tried = 0
        while self._wants(key, vm):
            try:
                async with self._slots:
                    self._board.pulling(vm, f"fetching {vm.image}")
                    digest = await self._source.fetch(vm.image, lambda words: self._board.pulling(vm, words))
                with contextlib.suppress(Refusal):  # Of a VM that is gone meanwhile.
                    await settle_image(self._network, owner=vm.owner, vm=vm.id, digest=digest)
                return
            except (Refusal, Failure) as error:
                log.warning("image %s of VM %s/%s: %s", vm.image, vm.owner, vm.name, error)
                self._board.no_image(vm, error)
            await asyncio.sleep(RETRY_S[min(tried, len(RETRY_S) - 1)])
            tried += 1

    def _wants(self, key: ThingKey, vm: Vm) -> bool:
        now = self._network.view.find(key)
        return isinstance(now, Vm) and now.id == vm.id and not now.digest
