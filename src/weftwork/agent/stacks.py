"""What is asked at a host's own interface: checked, kept on disk, made part of the host's program, and looked at."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Protocol

from weftwork.agent import stack_checks as check
from weftwork.agent.layers import Layers
from weftwork.base import codes
from weftwork.base.addresses import Mac
from weftwork.base.errors import Failure
from weftwork.model.stack import Nic, Router, Stack, StaticRoute
from weftwork.program.resource import Key, Program
from weftwork.seams.stacks import LinkSeen, LinkState, NicAsked, NicSeen, RouterSeen, StackChanged, StackSeen

log = logging.getLogger(__name__)

WATCHERS_MAX = 64
KEPT_MAX = 256
"""Changes, for each who watches."""
SETTLE_S = 10.0


class Kept(Protocol):
    """The disk."""

    def stacks(self) -> Mapping[int, Stack]: ...

    def keep_stacks(self, stacks: Mapping[int, Stack]) -> None: ...


class Loop(Protocol):
    """The host's reconciler."""

    async def settle(self, timeout_s: float) -> bool: ...

    def failures(self) -> Mapping[Key, Failure]: ...


@dataclass(frozen=True, slots=True)
class Naming:
    """How a stack is called on the host; what compiles knows it."""

    netns: Callable[[int], str]
    bridge: Callable[[int], str]
    vtep: Callable[[int], str]
    device: Callable[[int, str], str]
    external: str


class Change(Protocol):
    @property
    def added(self) -> Program: ...

    @property
    def removed(self) -> Program: ...


class Compiler(Protocol):
    """Says what a stack comes to want here, and wants no more, since the last time."""

    def compile(self, stack: Stack) -> Change: ...

    def forget(self, vpc_id: int) -> Change: ...


@dataclass(frozen=True, slots=True)
class Ground:
    """What a host is, and how it is looked at. `links` are of one namespace, by name; `mac_of` is of a link of the
    host's own, None when there is none that may be adopted."""

    compiler: Compiler
    naming: Naming
    links: Callable[[str, Iterable[str]], Mapping[str, LinkSeen]]
    mac_of: Callable[[str], str | None]
    underlay: IPv4Address | None


class StackBook:
    """Implements `seams.stacks.HostNetworks`."""

    def __init__(self, kept: Kept, layers: Layers, loop: Loop, ground: Ground) -> None:
        self._kept = kept
        self._layers = layers
        self._loop = loop
        self._ground = ground
        self._stacks: dict[int, Stack] = {}
        self._changing = asyncio.Lock()
        self._watchers: set[asyncio.Queue[StackChanged | None]] = set()

    def start(self) -> None:
        """From the disk. Failure STATE_DAMAGED, STATE_UNREADABLE."""
        self._stacks = dict(self._kept.stacks())
        for stack in self._stacks.values():
            self._ask(self._ground.compiler.compile(stack))

    # --- stacks

    async def add_stack(self, vpc_id: int) -> StackSeen:
        check.vpc_id(vpc_id)
        async with self._changing:
            if vpc_id not in self._stacks:
                if len(self._stacks) >= check.STACKS_MAX:
                    raise codes.INVALID_ARGUMENT.refusal(f"a host has at most {check.STACKS_MAX} stacks")
                await self._put(Stack(vpc_id), "created")
        return await self._in_force(vpc_id)

    async def get_stack(self, vpc_id: int) -> StackSeen:
        return await self._look(self._known(vpc_id))

    async def list_stacks(self) -> tuple[StackSeen, ...]:
        return tuple([await self._look(stack) for _, stack in sorted(self._stacks.items())])

    async def delete_stack(self, vpc_id: int, *, cascade: bool) -> None:
        check.vpc_id(vpc_id)
        async with self._changing:
            stack = self._stacks.get(vpc_id)
            if stack is None:
                return
            if (stack.nics or stack.router) and not cascade:
                held = f"{len(stack.nics)} NICs{' and a router' if stack.router else ''}"
                raise codes.IN_USE.refusal(f"stack {vpc_id} has {held}")
            was = await self._look(stack)
            await self._keep({one: stack for one, stack in self._stacks.items() if one != vpc_id})
            self._ask(self._ground.compiler.forget(vpc_id))
            self._tell(StackChanged(vpc_id, "deleted", "", was))
        await self._settled(vpc_id)

    # --- NICs

    async def add_nic(self, asked: NicAsked) -> NicSeen:
        async with self._changing:
            stack = self._known(asked.vpc_id)
            there = stack.nic(check.nic_id(asked.id))
            nic = self._nic(asked, there)
            if there is not None and there != nic:
                raise codes.NIC_ALREADY_EXISTS.refusal(f"NIC {nic.id} is {_words(there)}")
            if there is None:
                await self._put_nic(stack, nic, asked, "nic_added")
        return await self._nic_in_force(asked.vpc_id, asked.id)

    async def update_nic(self, asked: NicAsked) -> NicSeen:
        async with self._changing:
            stack = self._known(asked.vpc_id)
            there = self._known_nic(stack, asked.id)
            if (asked.mac and check.mac(asked.mac) != there.mac) or asked.adopts not in ("", there.adopts):
                raise codes.NIC_ALREADY_EXISTS.refusal(f"NIC {there.id} keeps its MAC {there.mac} and its link")
            filled = replace(
                asked,
                mac=there.mac,
                vlan=asked.vlan or there.vlan,
                adopts=there.adopts,
                netns=asked.netns or there.netns,
                interface=asked.interface or there.interface,
                underlay=asked.underlay or (str(there.underlay) if there.underlay else ""),
            )
            nic = self._nic(filled, there)
            if nic != there:
                await self._put_nic(stack, nic, filled, "nic_updated")
        return await self._nic_in_force(asked.vpc_id, asked.id)

    async def get_nic(self, vpc_id: int, id: str) -> NicSeen:
        stack = self._known(vpc_id)
        return await self._look_at_nic(stack, self._known_nic(stack, id))

    async def list_nics(self, vpc_id: int) -> tuple[NicSeen, ...]:
        stack = self._known(vpc_id)
        return tuple([await self._look_at_nic(stack, nic) for nic in stack.nics])

    async def delete_nic(self, vpc_id: int, id: str) -> None:
        check.nic_id(id)
        async with self._changing:
            stack = self._known(vpc_id)
            nic = stack.nic(id)
            if nic is None:
                return
            rest = tuple(one for one in stack.nics if one.id != id)
            elsewhere = {one.vlan for one in rest if one.underlay}
            vnis = {vlan: vni for vlan, vni in stack.vnis.items() if vlan in elsewhere}
            await self._put(replace(stack, nics=rest, vnis=vnis), "nic_deleted", id)
        await self._settled(vpc_id)

    def _nic(self, asked: NicAsked, there: Nic | None) -> Nic:
        places = [name for name in ("netns", "adopts", "underlay") if getattr(asked, name)]
        if len(places) > 1:
            raise codes.INVALID_ARGUMENT.refusal(f"a NIC is in one place, not in {' and '.join(places)}")
        if asked.interface and not asked.netns:
            raise codes.INVALID_ARGUMENT.refusal("an interface is named without its netns", field="interface")
        underlay = check.address(asked.underlay, "underlay") if asked.underlay else None
        if underlay and self._ground.underlay is None:
            raise codes.NO_UNDERLAY.refusal("a NIC on another host needs an underlay here")
        if underlay and underlay == self._ground.underlay:
            raise codes.INVALID_ARGUMENT.refusal(f"{underlay} is this host itself", field="underlay")
        return Nic(
            id=asked.id,
            vlan=check.vlan(asked.vlan),
            mac=self._mac(asked, there),
            addresses=check.addresses(asked.addresses),
            netns=check.netns(asked.netns),
            interface=check.interface(asked.interface, "interface") or ("eth0" if asked.netns else ""),
            adopts=check.interface(asked.adopts, "adopts"),
            underlay=underlay,
        )

    def _mac(self, asked: NicAsked, there: Nic | None) -> Mac:
        if asked.mac:
            return check.mac(asked.mac)
        if there is not None:
            return there.mac
        if asked.underlay:
            raise codes.MISSING_FIELD.refusal("the MAC of a NIC on another host is that one's", field="manual_hwaddr")
        if asked.adopts:
            found = self._ground.mac_of(check.interface(asked.adopts, "adopts"))
            if found is None:
                raise codes.LINK_NOT_FOUND.refusal(f"this host has no link {asked.adopts!r} to adopt")
            raise codes.MISSING_FIELD.refusal(
                f"the guest's MAC behind {asked.adopts} (itself {found}) is not said", field="manual_hwaddr"
            )
        return Mac("02:56:" + secrets.token_bytes(4).hex(":"))

    async def _put_nic(self, stack: Stack, nic: Nic, asked: NicAsked, action: str) -> None:
        check.fits(stack, nic)
        there = stack.nic(nic.id)
        if nic.adopts and there is None and self._ground.mac_of(nic.adopts) is None:
            raise codes.LINK_NOT_FOUND.refusal(f"this host has no link {nic.adopts!r} to adopt")
        others = [one for one in stack.nics if one.id != nic.id]
        vnis = self._vnis(stack, nic, asked.vni, {one.vlan for one in others if one.underlay})
        nics = tuple(sorted((*others, nic), key=lambda one: one.id))
        await self._put(replace(stack, nics=nics, vnis=vnis), action, nic.id)

    def _vnis(self, stack: Stack, nic: Nic, asked: int, still: set[int]) -> dict[int, int]:
        """A VLAN is called something on the wire while it has NICs on other hosts."""
        vnis = {vlan: vni for vlan, vni in stack.vnis.items() if vlan in still}
        if nic.underlay is None:
            return vnis
        wanted = check.vpc_id(asked or vnis.get(nic.vlan, 0) or stack.vpc_id)
        if vnis.get(nic.vlan, wanted) != wanted:
            raise codes.VNI_TAKEN.refusal(f"VLAN {nic.vlan} is VNI {vnis[nic.vlan]} on the wire", field="vni")
        for other in self._stacks.values():
            if any(
                vni == wanted and (other.vpc_id, vlan) != (stack.vpc_id, nic.vlan) for vlan, vni in other.vnis.items()
            ):
                raise codes.VNI_TAKEN.refusal(f"stack {other.vpc_id} has VNI {wanted} on the wire", field="vni")
        return {**vnis, nic.vlan: wanted}

    # --- routers

    async def put_router(self, vpc_id: int, router: Router, *, new: bool) -> RouterSeen:
        async with self._changing:
            stack = self._known(vpc_id)
            if stack.router is None and not new:
                raise codes.ROUTER_NOT_FOUND.refusal(f"stack {vpc_id} has no router")
            if new and stack.router not in (None, router):
                raise codes.ROUTER_ALREADY_EXISTS.refusal(f"stack {vpc_id} has another router")
            if stack.router != router:
                await self._put_router(stack, router, "router_added" if new else "router_updated")
        return await self._router_in_force(vpc_id)

    async def get_router(self, vpc_id: int) -> RouterSeen:
        return await self._look_at_router(self._known(vpc_id))

    async def list_routers(self) -> tuple[RouterSeen, ...]:
        routed = [stack for _, stack in sorted(self._stacks.items()) if stack.router]
        return tuple([await self._look_at_router(stack) for stack in routed])

    async def delete_router(self, vpc_id: int) -> None:
        async with self._changing:
            stack = self._known(vpc_id)
            if stack.router is None:
                return
            await self._put(replace(stack, router=None), "router_deleted")
        await self._settled(vpc_id)

    async def add_route(self, vpc_id: int, route: StaticRoute) -> RouterSeen:
        async with self._changing:
            stack, router = self._routed(vpc_id)
            if route not in router.routes:
                await self._put_router(stack, replace(router, routes=(*router.routes, route)), "router_updated")
        return await self._router_in_force(vpc_id)

    async def delete_route(self, vpc_id: int, destination: str) -> RouterSeen:
        async with self._changing:
            stack, router = self._routed(vpc_id)
            rest = tuple(one for one in router.routes if str(one.destination) != destination)
            if rest != router.routes:
                await self._put_router(stack, replace(router, routes=rest), "router_updated")
        return await self._router_in_force(vpc_id)

    async def _put_router(self, stack: Stack, router: Router, action: str) -> None:
        check.router(stack, router)
        outside = router.outside
        if outside and self._ground.mac_of(check.interface(outside.bridge, "nat")) is None:
            raise codes.LINK_NOT_FOUND.refusal(f"this host has no bridge {outside.bridge!r}", field="nat")
        await self._put(replace(stack, router=router), action)

    def _routed(self, vpc_id: int) -> tuple[Stack, Router]:
        stack = self._known(vpc_id)
        if stack.router is None:
            raise codes.ROUTER_NOT_FOUND.refusal(f"stack {vpc_id} has no router")
        return stack, stack.router

    # --- what is kept, and what is in force

    def _known(self, vpc_id: int) -> Stack:
        stack = self._stacks.get(check.vpc_id(vpc_id))
        if stack is None:
            raise codes.STACK_NOT_FOUND.refusal(f"Stack not created: {vpc_id}")
        return stack

    def _known_nic(self, stack: Stack, id: str) -> Nic:
        nic = stack.nic(check.nic_id(id))
        if nic is None:
            raise codes.NIC_NOT_FOUND.refusal(f"stack {stack.vpc_id} has no NIC {id}")
        return nic

    async def _put(self, stack: Stack, action: str, what: str = "") -> None:
        """On disk first: what was answered is never lost."""
        await self._keep({**self._stacks, stack.vpc_id: stack})
        self._ask(self._ground.compiler.compile(stack))
        self._tell(StackChanged(stack.vpc_id, action, what, await self._look(stack)))

    def _ask(self, change: Change) -> None:
        self._layers.ask(change.added, change.removed)

    async def _keep(self, stacks: dict[int, Stack]) -> None:
        await asyncio.to_thread(self._kept.keep_stacks, stacks)
        self._stacks = stacks

    async def _settled(self, vpc_id: int) -> None:
        """Failure when something of the stack does not work."""
        if not self._layers.is_ready:
            raise Failure("NO_PROGRAM", "it is kept, and made when the server has said what else is to be here")
        if not await self._loop.settle(SETTLE_S):
            raise Failure("PROGRAMMING", f"it is kept, and not made after {SETTLE_S:.0f} s")
        if failures := self._failures_of(vpc_id):
            raise next(iter(failures.values()))

    def _failures_of(self, vpc_id: int) -> Mapping[Key, Failure]:
        return self._layers.failures_in(self._ground.naming.netns(vpc_id), self._loop.failures())

    async def _in_force(self, vpc_id: int) -> StackSeen:
        await self._settled(vpc_id)
        return await self.get_stack(vpc_id)

    async def _nic_in_force(self, vpc_id: int, id: str) -> NicSeen:
        await self._settled(vpc_id)
        return await self.get_nic(vpc_id, id)

    async def _router_in_force(self, vpc_id: int) -> RouterSeen:
        await self._settled(vpc_id)
        return await self.get_router(vpc_id)

    def _failing(self, stack: Stack) -> str:
        return next((str(why) for why in self._failures_of(stack.vpc_id).values()), "")

    async def _look(self, stack: Stack) -> StackSeen:
        naming = self._ground.naming
        netns = naming.netns(stack.vpc_id)
        bridges = [naming.bridge(vlan) for vlan in stack.vlans]
        vteps = [naming.vtep(vlan) for vlan in sorted(stack.vnis)]
        seen = await self._links(netns, [*bridges, *vteps])
        return StackSeen(
            stack.vpc_id,
            netns,
            tuple(seen[one] for one in bridges),
            tuple(seen[one] for one in vteps),
            self._failing(stack),
        )

    async def _look_at_nic(self, stack: Stack, nic: Nic) -> NicSeen:
        naming = self._ground.naming
        netns = naming.netns(stack.vpc_id)
        device = naming.vtep(nic.vlan) if nic.underlay else naming.device(stack.vpc_id, nic.id)
        seen = await self._links(netns, [device])
        return NicSeen(stack.vpc_id, nic, seen[device], netns, self._failing(stack))

    async def _look_at_router(self, stack: Stack) -> RouterSeen:
        if stack.router is None:
            raise codes.ROUTER_NOT_FOUND.refusal(f"stack {stack.vpc_id} has no router")
        naming = self._ground.naming
        legs = [naming.bridge(one.vlan) for one in stack.router.legs]
        netns = naming.netns(stack.vpc_id)
        seen = await self._links(netns, [*legs, naming.external])
        outside = seen[naming.external] if stack.router.outside else None
        return RouterSeen(
            stack.vpc_id, stack.router, tuple(seen[one] for one in legs), outside, netns, self._failing(stack)
        )

    async def _links(self, netns: str, names: list[str]) -> Mapping[str, LinkSeen]:
        found = await asyncio.to_thread(self._ground.links, netns, names)
        return {name: found.get(name, LinkSeen(name, 0, LinkState.MISSING)) for name in names}

    # --- who watches

    async def watch(self) -> AsyncIterator[StackChanged]:
        """Changes from now on. Refusals WATCHED_TOO_SLOWLY, INVALID_ARGUMENT."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise codes.INVALID_ARGUMENT.refusal(f"{WATCHERS_MAX} watch already")
        queue: asyncio.Queue[StackChanged | None] = asyncio.Queue(KEPT_MAX)
        self._watchers.add(queue)
        try:
            while (changed := await queue.get()) is not None:
                yield changed
            raise codes.WATCHED_TOO_SLOWLY.refusal(f"more than {KEPT_MAX} changes waited")
        finally:
            self._watchers.discard(queue)

    def _tell(self, changed: StackChanged) -> None:
        log.info("stack %d: %s %s", changed.vpc_id, changed.action, changed.what)
        for queue in list(self._watchers):
            if queue.full():
                self._watchers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(changed)


def _words(nic: Nic) -> str:
    where = nic.netns or nic.adopts or (str(nic.underlay) if nic.underlay else "a TAP")
    return f"{nic.mac} in VLAN {nic.vlan}, {', '.join(map(str, nic.addresses)) or 'no address'}, {where}"
