"""Answers about the targets of a fleet: each host's program, what it holds, and what it holds for nobody."""

from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.view import IntentView
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.controller.fleet import FleetController, FleetHost
from weftwork.controller.insight import ControllerInsight, told_steps
from weftwork.planner.plan import make_plan
from weftwork.program.resource import Program
from weftwork.program.texts import text_of
from weftwork.seams.insight import Leak, TargetState, TargetSummary
from weftwork.seams.store import Store

DRIVER = "linux"


class FleetInsight(ControllerInsight):
    def __init__(self, store: Store, view: IntentView, reach: ReachBoard, fleet: FleetController) -> None:
        super().__init__(store, view, reach, None)
        self._fleet = fleet

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
