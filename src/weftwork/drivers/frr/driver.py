"""FrrDriver: makes the routing daemons of a host run what the program says, and starts them again when they die.

zebra sees a namespace while it is still empty, or before it is told of EVPN: of one that it reads later it takes some
devices for what they are not (8.4).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.frr import configuration as lines
from weftwork.drivers.frr import networks, sessions
from weftwork.drivers.frr.daemons import ORDER, Daemons
from weftwork.drivers.frr.vty import ask
from weftwork.program.frr import BgpPeer, BgpRouter, EvpnVni, EvpnVrf
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.channel import Session
from weftwork.seams.driver import Applied

log = logging.getLogger(__name__)

HOST = ""
_FOLLOWED_S = 2.0
_KNOWN_S = 5.0
_LOOK_S = 0.02
_RESTART_AGAIN_S = 1.0


class FrrDriver:
    """Also what is `Beside` the Linux driver. `run` it, so that a daemon that dies is started again; then `died` is
    told. What runs outlives us."""

    def __init__(self, folder: Path) -> None:
        self._daemons = Daemons(folder)
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()
        self.died: Callable[[], None] = lambda: None

    @property
    def is_on(self) -> bool:
        return bool(self._daemons.holder)

    async def welcome(self, scopes: frozenset[str]) -> None:
        """Shows zebra namespaces before anything is in them."""
        if not self._daemons.pid("zebra"):
            return
        async with self._busy:
            for one in sorted(scopes - networks.shown(self._daemons)):
                with suppress(Failure):
                    await networks.show(self._daemons, one)
            with suppress(Failure, TimeoutError):
                async with asyncio.timeout(_FOLLOWED_S):
                    while not scopes <= await sessions.vrfs(self._daemons):  # noqa: ASYNC110 - zebra tells nobody
                        await asyncio.sleep(_LOOK_S)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        if (scopes is not None and HOST not in scopes) or not self.is_on:
            return frozenset()
        found: set[Resource] = {EvpnVrf(name) for name in networks.shown(self._daemons)}
        if all(map(self._daemons.pid, ORDER)):
            with suppress(Failure):
                found |= set(await self._running())
        return frozenset(found)

    async def apply(self, plan: Plan) -> Applied:
        async with self._busy:
            try:
                failures = await self._apply(plan)
            except (Failure, TimeoutError) as error:
                failure = error if isinstance(error, Failure) else Failure("FRR_START", "the daemons take too long")
                failures = {_subject(step).key: failure for step in plan}
        self._changed.set()
        return Applied(failures)

    async def sessions(self) -> tuple[Session, ...]:
        """How its neighbours are; nothing when it has none. Failure FRR_UNREACHABLE."""
        return await sessions.neighbours(self._daemons) if self.is_on else ()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            running = {name: pid for name in ORDER if (pid := self._daemons.pid(name))}
            await self._until_one_is_over(running)
            if not self.is_on:
                continue
            async with self._busy:
                dead = [name for name in ORDER if not self._daemons.pid(name)]
                if dead and self._kept():
                    log.warning("%s died, and is started again", ", ".join(dead))
                    try:
                        if "zebra" in dead:
                            # They would look for the new zebra after ten seconds, and end all sessions once more.
                            await self._daemons.kill("bgpd", "bfdd")
                        await self._start(self._kept())
                    except (Failure, TimeoutError) as error:
                        log.warning("it does not start: %s", error)
                        await asyncio.sleep(_RESTART_AGAIN_S)
            if dead:
                self.died()

    # --- inside

    async def _apply(self, plan: Plan) -> dict[Key, Failure]:
        if any(isinstance(step, Delete) and isinstance(step.old, BgpRouter) for step in plan):
            await self._daemons.end()
            return {}
        if not any(isinstance(step, Create | Replace) for step in plan) and not self._daemons.holder:
            return {}
        await self._daemons.hold()
        failures = await self._show([step for step in plan if isinstance(_subject(step), EvpnVrf)])
        steps = [step for step in plan if not isinstance(_subject(step), EvpnVrf)]
        router = next((step for step in steps if isinstance(_subject(step), BgpRouter)), None)
        if router is not None or not all(map(self._daemons.pid, ORDER)):
            await self._start_with(steps)
            return failures
        for step in sorted(steps, key=_order):
            try:
                await self._tell(step)
            except Failure as failure:
                failures[_subject(step).key] = failure
        if steps:
            self._keep(lines.text_of(*_parted(await self._running())))
            await self._teach()
        return failures

    async def _show(self, steps: Sequence[Step]) -> dict[Key, Failure]:
        failures: dict[Key, Failure] = {}
        late = False
        for step in steps:
            vrf = _subject(step)
            assert isinstance(vrf, EvpnVrf)
            try:
                if isinstance(step, Delete):
                    await networks.hide(self._daemons, vrf.netns)
                elif vrf.netns not in networks.shown(self._daemons):
                    late = late or not await asyncio.to_thread(networks.is_empty, vrf.netns)
                    await networks.show(self._daemons, vrf.netns)
            except Failure as failure:
                failures[vrf.key] = failure
        if late and self._daemons.pid("bgpd"):
            # It was made while nobody looked: zebra reads it anew, without EVPN. The kernel forwards meanwhile.
            await self._daemons.kill(*ORDER)
            await self._start(self._kept())
        return failures

    async def _start_with(self, steps: Sequence[Step]) -> None:
        """Everything anew, with what the plan makes of what there was."""
        there: set[Resource] = set()
        with suppress(Failure):
            there = set(await self._running())
        there -= {step.old for step in steps if isinstance(step, Delete | Replace)}
        there |= {step.new for step in steps if isinstance(step, Create | Replace)}
        routers = [one for one in there if isinstance(one, BgpRouter)]
        if not routers:
            return
        await self._daemons.kill("bgpd")
        await self._start(lines.text_of(*_parted(there)))

    async def _start(self, configuration: str) -> None:
        await self._daemons.start_zebra()
        await self._daemons.start_bfdd()
        await self._daemons.start_bgpd(configuration)
        await self._teach()

    async def _teach(self) -> None:
        """When zebra knows the VNIs, it is told the neighbours of what is here."""
        vrfs = networks.shown(self._daemons)
        known = -1
        with suppress(Failure, TimeoutError):
            async with asyncio.timeout(_KNOWN_S):
                while True:
                    before, known = known, await sessions.vnis(self._daemons)
                    if known == before and (known or not vrfs):
                        break
                    await asyncio.sleep(_LOOK_S)
        await asyncio.to_thread(networks.touch_neighbours, vrfs)

    async def _tell(self, step: Step) -> None:
        subject = _subject(step)
        match subject, step:
            case BgpPeer(), Delete():
                commands = lines.without_peer(subject)
            case BgpPeer(), _:
                commands = lines.peer_lines(subject)
            case EvpnVni(), Delete():
                commands = lines.without_vni(subject)
            case EvpnVni(), Replace():
                commands = [*lines.without_vni(subject), *lines.vni_lines(subject)]
            case EvpnVni(), _:
                commands = [*lines.vni_lines(subject)]
            case _:
                raise AssertionError(f"{subject} is not told bgpd")
        asn = next(one.asn for one in await self._running() if isinstance(one, BgpRouter))
        await ask(self._daemons.path("bgpd.vty"), "configure terminal", f"router bgp {asn}", *commands)

    async def _running(self) -> list[lines.Configured]:
        (said,) = await ask(self._daemons.path("bgpd.vty"), "show running-config")
        return list(lines.running(said))

    def _keep(self, configuration: str) -> None:
        """What bgpd starts with when it dies."""
        place = self._daemons.path("bgpd.conf")
        beside = place.with_suffix(".new")
        beside.write_text(configuration)
        beside.chmod(0o644)
        beside.replace(place)

    def _kept(self) -> str:
        try:
            return self._daemons.path("bgpd.conf").read_text()
        except OSError:
            return ""

    async def _until_one_is_over(self, running: dict[str, int]) -> None:
        loop = asyncio.get_running_loop()
        opened: list[int] = []
        try:
            for pid in running.values():
                try:
                    opened.append(os.pidfd_open(pid))
                except ProcessLookupError:
                    return
                loop.add_reader(opened[-1], self._changed.set)
            await self._changed.wait()
        finally:
            for one in opened:
                loop.remove_reader(one)
                os.close(one)


def _subject(step: Step) -> Resource:
    return step.old if isinstance(step, Delete) else step.new


def _order(step: Step) -> tuple[bool, int]:
    return isinstance(step, Delete), _subject(step).rank


def _parted(found: "set[Resource] | list[lines.Configured]") -> tuple[BgpRouter, list[BgpPeer | EvpnVni]]:
    router = next(one for one in found if isinstance(one, BgpRouter))
    return router, [one for one in found if isinstance(one, BgpPeer | EvpnVni)]
