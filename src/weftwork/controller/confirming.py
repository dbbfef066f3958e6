"""Undoes changes that nobody confirmed in time, and at once those whose probes or reach tests fail.

Every server may try: what became of a change is written together with its undoing, and only while nobody else settled
it. Of those that look after hosts only the leader does, for it alone can ask the data plane.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from weftwork.actions.awaited import Awaited, State
from weftwork.actions.confirmations import KEPT_S, every, forget, undo
from weftwork.actions.explain import Explained, explain_flow
from weftwork.actions.network import Network
from weftwork.base.errors import Failure, Refusal
from weftwork.declare.probe import Probe
from weftwork.seams.insight import TargetSummary
from weftwork.seams.tracer import Flow, NotTraced, Tracer
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.route import Way

log = logging.getLogger(__name__)

LOOK_S = 1.0
LIVE_FAILURES = 2
"""How often in a row the data plane has to contradict a probe: one packet may be lost."""


class Targets(Protocol):
    async def targets(self) -> tuple[TargetSummary, ...]: ...


class Confirming:
    def __init__(
        self, network: Network, *, is_ours: Callable[[], bool], targets: Targets, tracer: Tracer | None = None
    ) -> None:
        """`is_ours` says whether this server looks after it now; without a tracer, probes are asked of the model."""
        self._network = network
        self._is_ours = is_ours
        self._targets = targets
        self._tracer = tracer
        self._looked_at: dict[str, int] = {}
        self._failures: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except Failure as failure:
                log.warning("changes that are to be confirmed wait: %s", failure)
            await asyncio.sleep(LOOK_S)

    async def once(self) -> None:
        if not self._is_ours():
            return
        # The latest first: what was changed twice goes back the way it came.
        for one in sorted(await every(self._network.store), key=lambda one: -one.revision):
            if one.state is not State.PENDING:
                self._looked_at.pop(one.key, None)
                self._failures.pop(one.key, None)
                if one.at_s + KEPT_S < self._network.clock.now_s():
                    await forget(self._network.store, one)
            elif why := await self._why_not(one):
                await self._undo(one, why)

    async def _undo(self, one: Awaited, why: str) -> None:
        if not self._is_ours():
            return
        try:
            settled = await undo(self._network, one, why)
        except Refusal as refusal:
            log.info("change %s of %s is settled by somebody else, or later: %s", one.name, one.owner, refusal)
            return
        level = logging.WARNING if settled.state is not State.UNDONE else logging.INFO
        log.log(level, "change %s of %s is %s: %s", one.name, one.owner, settled.state.value, settled.why)

    async def _why_not(self, one: Awaited) -> str:
        """Why the change has to go now; empty while it may stay."""
        if one.deadline_s <= self._network.clock.now_s():
            return "nobody confirmed it in time"
        return await self._refuted(one) or await self._contradicted(one)

    async def _refuted(self, one: Awaited) -> str:
        """By the model, which is asked again when anything has changed."""
        revision = self._network.view.changed_at
        if self._looked_at.get(one.key) == revision or self._network.view.revision < one.revision:
            return ""
        self._looked_at[one.key] = revision
        if failing := self._failing_test(one):
            return failing
        for probe in one.probes:
            if failing := await self._fails(one, probe):
                return failing
        return ""

    def _failing_test(self, one: Awaited) -> str:
        here = self._network.view.intent.get(one.owner)
        if here is None or not one.watches_tests:
            return ""
        for test in here.reach_tests.values():
            if broken := self._network.reach_guard.fails(here, test):
                return f"reach test {test.name} fails: {broken.why}"
        return ""

    async def _fails(self, one: Awaited, probe: Probe) -> str:
        try:
            found = (await self._explained(one, probe)).explanation
        except Refusal as refusal:
            return f"probe {probe!s} cannot be asked: {refusal.code}: {refusal.message}"
        return "" if found.reachable == probe.passes else f"probe {probe!s} fails by the rules"

    async def _explained(self, one: Awaited, probe: Probe) -> Explained:
        return await explain_flow(
            self._network,
            owner=one.owner,
            source=probe.source,
            destination=probe.destination,
            protocol=NUMBERS[probe.protocol],
            destination_port=probe.port,
        )

    async def _contradicted(self, one: Awaited) -> str:
        """By the data plane, once the hosts have the change."""
        if self._tracer is None or not one.probes or not await self._is_programmed(one.revision):
            return ""
        for probe in one.probes:
            if await self._arrives(self._tracer, one, probe) is (not probe.passes):
                self._failures[one.key] = self._failures.get(one.key, 0) + 1
                is_sure = self._failures[one.key] >= LIVE_FAILURES
                return f"probe {probe!s} fails on the data plane" if is_sure else ""
        self._failures.pop(one.key, None)
        return ""

    async def _is_programmed(self, revision: int) -> bool:
        targets = await self._targets.targets()
        return bool(targets) and all(one.generation >= revision and not one.failures for one in targets)

    async def _arrives(self, tracer: Tracer, one: Awaited, probe: Probe) -> bool | None:
        """None where no packet can be sent for it."""
        try:
            explained = await self._explained(one, probe)
        except Refusal:
            return None
        route = explained.explanation.route
        if route.way is Way.TO_ROUTER or route.sender is None:
            return None
        sent = explained.explanation.probe
        flow = Flow(
            sender=route.sender.id,
            receiver=route.receiver.id if route.receiver and route.way is not Way.OUTWARDS else "",
            destination=sent.destination,
            protocol=sent.protocol,
            destination_port=sent.destination_port,
        )
        traced = await tracer.trace(explained.project, flow)
        return None if isinstance(traced, NotTraced) else traced.delivered
