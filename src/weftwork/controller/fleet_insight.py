"""Answers about the targets of a fleet: each host's program, what it holds, and what it holds for nobody."""

from dataclasses import replace

from weftwork.actions.overlay import overlaid
from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.view import IntentView
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.compiler.slices import affected_by
from weftwork.controller.fleet import FleetController, FleetHost
from weftwork.controller.fleet_plan import WouldBe, would_be
from weftwork.controller.insight import ControllerInsight, told_steps
from weftwork.model.keys import parse_thing_key
from weftwork.planner.plan import make_plan
from weftwork.program.resource import Program
from weftwork.program.texts import text_of
from weftwork.seams.insight import Leak, PlannedStep, PlanPreview, TargetState, TargetSummary
from weftwork.seams.store import Store, Write

DRIVER = "linux"


class FleetInsight(ControllerInsight):
    def __init__(self, store: Store, view: IntentView, reach: ReachBoard, fleet: FleetController) -> None:
        super().__init__(store, view, reach, None)
        self._fleet = fleet

    async def plan(self, writes: tuple[Write, ...]) -> PlanPreview:
        preview = await super().plan(writes)
        keys = {key for write in writes if (key := parse_thing_key(write.key))}
        after = overlaid(self._view.intent, writes)
        told = (self._steps(one) for one in would_be(self._view.intent, after, keys, self._view.hosts))
        return replace(preview, steps=tuple(step for steps in told for step in steps))

    def _steps(self, would: WouldBe) -> tuple[PlannedStep, ...]:
        there = self._fleet.hosts.get(would.host)
        if there is None or there.publisher is None:
            return ()
        publisher = there.publisher
        slices = {slice_id for key in would.changed for slice_id in affected_by(key, would.intent)}
        delta = publisher.assembly.preview({one: publisher.compile_slice(would.intent, one) for one in slices})
        return told_steps(would.host, make_plan(desired=delta.added, observed=delta.removed))

    async def targets(self) -> tuple[TargetSummary, ...]:
        return tuple(self._of_host(name, there) for name, there in sorted(self._fleet.hosts.items()))

    def _of_host(self, name: str, there: FleetHost) -> TargetSummary:
        state = self._fleet.state_of(name)
        failing = next(iter(there.link.report.failures.items()), None)
        detail = f"{' '.join(failing[0]).strip()}: {failing[1]}" if failing else state.message
        return TargetSummary(
            host=name,
            driver=DRIVER,
            generation=state.generation,
            desired_generation=state.desired_generation,
            resources=state.resources,
            failures=state.failures + (not state.is_ready),
            detail=detail,
        )

    async def target(self, host: str, driver: str, scope: str) -> TargetState:
        there = self._fleet.hosts.get(host)
        if there is None or there.publisher is None or driver not in ("", DRIVER):
            known = ", ".join(sorted(self._fleet.hosts)) or "none"
            raise Refusal(
                Kind.UNKNOWN, "TARGET_NOT_FOUND", f"there is no host {host!r}", hint=f"Hosts with an agent: {known}."
            )
        await there.link.settle()
        desired = _in_scope(there.publisher.assembly.program(), scope)
        observed = _in_scope(await there.link.observe(frozenset({scope}) if scope else None), scope)
        steps = make_plan(desired=desired, observed=observed)
        return TargetState(_texts(desired), _texts(observed), told_steps(host, steps))

    async def leaks(self) -> tuple[Leak, ...]:
        """Of hosts that answer; of the others it is told that they do not."""
        leaks = list(await super().leaks())
        for name, there in sorted(self._fleet.hosts.items()):
            if there.publisher is None or not there.link.is_connected:
                continue
            await there.link.settle()
            try:
                observed = await there.link.observe()
            except Failure as failure:
                leaks.append(Leak(name, "host", name, f"cannot be looked at: {failure}"))
                continue
            wanted = {resource.key for resource in there.publisher.assembly.program()}
            stray = sorted((one for one in observed if one.key not in wanted), key=lambda one: one.key)
            leaks += [
                Leak(f"{name}/{DRIVER}", one.key[0], " ".join(one.key[1:]), "no owner in the intent") for one in stray
            ]
        return tuple(leaks)


def _in_scope(program: Program, scope: str) -> Program:
    return program if not scope else frozenset(one for one in program if one.scope == scope)


def _texts(program: Program) -> tuple[str, ...]:
    in_order = sorted(program, key=lambda one: (one.scope, one.rank, one.key))
    return tuple(f"{one.scope}: {text_of(one)}" for one in in_order)
