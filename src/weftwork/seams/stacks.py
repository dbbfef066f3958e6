"""What a host offers at its own interface: stacks, NICs and routers, beside what its server tells it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from weftwork.model.stack import Nic, Router, StaticRoute


class LinkState(Enum):
    DOWN = 0
    UP = 1
    MISSING = 2


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """A link as the kernel has it now; `index` is 0 when it is missing."""

    name: str
    index: int
    state: LinkState


@dataclass(frozen=True, slots=True)
class StackSeen:
    """`bridges` and `transports` by VLAN. `failure` is what does not work now, in words."""

    vpc_id: int
    netns: str
    bridges: tuple[LinkSeen, ...]
    transports: tuple[LinkSeen, ...]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class NicSeen:
    """`failure` is what does not work now, in words."""

    vpc_id: int
    nic: Nic
    link: LinkSeen
    netns: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class RouterSeen:
    vpc_id: int
    router: Router
    legs: tuple[LinkSeen, ...]
    outside: LinkSeen | None
    netns: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class StackChanged:
    """`action`: created, deleted, nic_added, nic_updated, nic_deleted, router_added, router_updated, router_deleted.
    `what` names the NIC."""

    vpc_id: int
    action: str
    what: str
    seen: StackSeen


@dataclass(frozen=True, slots=True)
class NicAsked:
    """`mac` empty: one is chosen, or that of the adopted link. `vni` 0: the stack's number, where one is needed."""

    vpc_id: int
    id: str
    vlan: int
    mac: str = ""
    addresses: tuple[str, ...] = ()
    netns: str = ""
    interface: str = ""
    adopts: str = ""
    underlay: str = ""
    vni: int = 0


class HostNetworks(Protocol):
    """Each verb may be repeated: what is so already is answered as it is. What is asked is on disk before the answer,
    and in force; if it does not work, Failure, and it is tried on. Refusals: `base/codes/stacks.py`."""

    async def add_stack(self, vpc_id: int) -> StackSeen: ...

    async def get_stack(self, vpc_id: int) -> StackSeen: ...

    async def list_stacks(self) -> tuple[StackSeen, ...]: ...

    async def delete_stack(self, vpc_id: int, *, cascade: bool) -> None: ...

    def watch(self) -> AsyncIterator[StackChanged]: ...

    async def add_nic(self, asked: NicAsked) -> NicSeen: ...

    async def update_nic(self, asked: NicAsked) -> NicSeen:
        """VLAN, addresses and place; its MAC and what it adopts stay. Empty fields stay too, but for addresses."""
        ...

    async def get_nic(self, vpc_id: int, id: str) -> NicSeen: ...

    async def list_nics(self, vpc_id: int) -> tuple[NicSeen, ...]: ...

    async def delete_nic(self, vpc_id: int, id: str) -> None: ...

    async def put_router(self, vpc_id: int, router: Router, *, new: bool) -> RouterSeen: ...

    async def get_router(self, vpc_id: int) -> RouterSeen: ...

    async def list_routers(self) -> tuple[RouterSeen, ...]: ...

    async def delete_router(self, vpc_id: int) -> None: ...

    async def add_route(self, vpc_id: int, route: StaticRoute) -> RouterSeen: ...

    async def delete_route(self, vpc_id: int, destination: str) -> RouterSeen: ...
