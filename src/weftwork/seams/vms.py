"""What hosts make of VMs, and the ways into them. Derived from reports, never stored."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, Self

from weftwork.base import codes
from weftwork.model.keys import ThingKey
from weftwork.model.vm import Vm


class VmState(Enum):
    """As Pitwall names them."""

    INIT = "INIT"
    """No host has it yet."""
    BUILDING_FILESYSTEM = "BUILDING_FILESYSTEM"
    BOOTING = "BOOTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class VmFacts:
    """`code` and `why` say why it is in no better state."""

    state: VmState
    code: str = ""
    why: str = ""
    since_s: int = 0
    restarts: int = 0


class Vms(Protocol):
    def facts(self, vm: Vm) -> VmFacts: ...

    def host_key(self, vm: Vm) -> str:
        """What its SSH server shows, in OpenSSH's form; empty while nobody knows."""
        ...

    def changes(self) -> AsyncIterator[ThingKey]:
        """The VMs whose facts change, from this call on; one that changes again before it was taken is told once."""
        ...

    def console(self, vm: Vm, *, follow: bool) -> AsyncIterator[bytes]:
        """Refusals NO_VMS_HERE, GUEST_NOT_HERE of one that no host has yet."""
        ...

    async def connect(self, vm: Vm) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the SSH server in the guest. Refusals NO_VMS_HERE, GUEST_NOT_HERE, GUEST_NOT_RUNNING, GUEST_BUSY."""
        ...


class Changes(AsyncIterator[ThingKey]):
    """What changed and was not taken yet, each once: a slow reader is never flooded."""

    def __init__(self) -> None:
        self._keys: dict[ThingKey, None] = {}
        self._filled = asyncio.Event()

    def put(self, key: ThingKey) -> None:
        self._keys[key] = None
        self._filled.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ThingKey:
        await self._filled.wait()
        key = next(iter(self._keys))
        del self._keys[key]
        if not self._keys:
            self._filled.clear()
        return key


class NoVms:
    """Where no machine runs any."""

    def facts(self, vm: Vm) -> VmFacts:
        return VmFacts(VmState.INIT, "NO_AGENT", "no machine that runs VMs is connected to this server", vm.created_at)

    def host_key(self, vm: Vm) -> str:
        return ""

    def changes(self) -> AsyncIterator[ThingKey]:
        return Changes()

    async def console(self, vm: Vm, *, follow: bool) -> AsyncIterator[bytes]:
        raise codes.NO_VMS_HERE.refusal(f"VM {vm.name} is on no machine")
        yield b""

    async def connect(self, vm: Vm) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise codes.NO_VMS_HERE.refusal(f"VM {vm.name} is on no machine")
