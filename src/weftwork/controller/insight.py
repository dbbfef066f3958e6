"""Answers about the targets: desired, observed, the plan between, what a mutation would change, and what leaks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from weftwork.actions import rows
from weftwork.actions.integrity import Orphan, orphans
from weftwork.actions.object_lines import object_line
from weftwork.actions.overlay import overlaid
from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.view import IntentView
from weftwork.base.errors import Kind, Refusal
from weftwork.compiler.slices import affected_by
from weftwork.controller.publisher import Publisher
from weftwork.controller.reach_changes import reach_changes
from weftwork.controller.review import told
from weftwork.model.keys import ROOT, parse_thing_key
from weftwork.planner.plan import make_plan
from weftwork.program.plan import Create, Delete, Plan, Replace
from weftwork.program.resource import Program, Resource
from weftwork.program.texts import text_of
from weftwork.seams.channel import AgentLink, Report
from weftwork.seams.insight import Action, Leak, PlannedStep, PlanPreview, TargetState, TargetSummary
from weftwork.seams.marking import Standing
from weftwork.seams.store import Put, Store, Write

LEAKS_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Hosted:
    """One host as the controller sees it; `kinds` names its drivers and what each holds."""

    agent: AgentLink
    publisher: Publisher
    kinds: dict[str, tuple[type, ...]]
    others: Callable[[], Awaitable[Standing]] | None = None
    """What stands there for other deployments, which the agent never touches."""


class ControllerInsight:
    """Implements `seams.insight.Insight`; `hosted` is None where no agent runs."""

    def __init__(self, store: Store, view: IntentView, reach: ReachBoard, hosted: Hosted | None) -> None:
        self._store = store
        self._view = view
        self._reach = reach
        self._hosted = hosted
        self._report = Report("", 0)

    def take(self, report: Report) -> None:
        self._report = report

    async def plan(self, writes: tuple[Write, ...]) -> PlanPreview:
        objects = tuple(line for write in writes if (line := self._object_line(write)))
        reach = reach_changes(self._reach, self._view, writes)
        if self._hosted is None:
            return PlanPreview(objects, (), reach)
        overlay = overlaid(self._view.intent, writes)
        keys = frozenset(key for write in writes if (key := parse_thing_key(write.key)))
        slices = frozenset(slice_id for key in keys for slice_id in affected_by(key, overlay))
        publisher = self._hosted.publisher
        compiled = {slice_id: publisher.compile_slice(overlay, slice_id) for slice_id in slices}
        delta = publisher.assembly.preview(compiled)
        steps = make_plan(desired=delta.added, observed=delta.removed)
        return PlanPreview(objects, told_steps(self._hosted.agent.host, steps), reach)

    async def targets(self) -> tuple[TargetSummary, ...]:
        if self._hosted is None:
            return ()
        return tuple(self._summary(name, kinds) for name, kinds in self._hosted.kinds.items())

    async def target(self, host: str, driver: str, scope: str) -> TargetState:
        hosted = self._the_host(host)
        kinds = self._kinds_of(driver)
        await hosted.agent.settle()
        desired = _select(hosted.publisher.assembly.program(), kinds, scope)
        observed = _select(await hosted.agent.observe(frozenset({scope}) if scope else None), kinds, scope)
        steps = make_plan(desired=desired, observed=observed)
        return TargetState(_texts(desired), _texts(observed), told_steps(hosted.agent.host, steps))

    async def leaks(self) -> tuple[Leak, ...]:
        leaks = [Leak("store", "key", orphan.key, orphan.why) for orphan in await self._store_orphans()]
        if self._hosted is not None:
            leaks += await self._host_leaks(self._hosted)
        return tuple(leaks)

    async def _store_orphans(self) -> tuple[Orphan, ...]:
        page = await self._store.range(ROOT, limit=LEAKS_PAGE)
        records = list(page.records)
        while page.more:
            page = await self._store.range(ROOT, after=page.records[-1].key, limit=LEAKS_PAGE)
            records += page.records
        return orphans(records)

    async def _host_leaks(self, hosted: Hosted) -> list[Leak]:
        """What the host holds and nobody wants, once it has done all it was told."""
        await hosted.agent.settle()
        observed = await hosted.agent.observe()
        wanted = {resource.key for resource in hosted.publisher.assembly.program()}
        stray = sorted((resource for resource in observed if resource.key not in wanted), key=lambda one: one.key)
        return [
            Leak(
                f"{hosted.agent.host}/{self._driver_of(one)}",
                one.key[0],
                " ".join(one.key[1:]),
                "no owner in the intent",
            )
            for one in stray
        ] + await _of_others(hosted)

    def _the_host(self, host: str) -> Hosted:
        if self._hosted is None or host not in ("", self._hosted.agent.host):
            known = self._hosted.agent.host if self._hosted else "none"
            raise Refusal(
                Kind.UNKNOWN, "TARGET_NOT_FOUND", f"there is no host {host!r}", hint=f"Hosts with an agent: {known}."
            )
        return self._hosted

    def _kinds_of(self, driver: str) -> tuple[type, ...]:
        assert self._hosted is not None
        if not driver:
            return tuple(kind for kinds in self._hosted.kinds.values() for kind in kinds)
        if driver not in self._hosted.kinds:
            known = ", ".join(sorted(self._hosted.kinds))
            raise Refusal(
                Kind.UNKNOWN,
                "TARGET_NOT_FOUND",
                f"there is no driver {driver!r}",
                hint=f"Drivers of the host: {known}.",
            )
        return self._hosted.kinds[driver]

    def _driver_of(self, resource: Resource) -> str:
        assert self._hosted is not None
        return next((name for name, kinds in self._hosted.kinds.items() if isinstance(resource, kinds)), "?")

    def _summary(self, name: str, kinds: tuple[type, ...]) -> TargetSummary:
        """Asked for again and again by those who wait, so it must not cost what the program is large."""
        assert self._hosted is not None
        assembly = self._hosted.publisher.assembly
        scopes = {key[1] for key in self._report.failures}
        mine = {one.key for scope in scopes for one in assembly.program(scope) if isinstance(one, kinds)}
        failing = [key for key in self._report.failures if key in mine or key[0] == "target"]
        detail = f"{' '.join(failing[0]).strip()}: {self._report.failures[failing[0]]}" if failing else ""
        alarms = self._hosted.publisher.review.alarms
        if alarms:
            detail = f"ISOLATION_VIOLATED: {told(next(iter(alarms.values())))}"
        return TargetSummary(
            host=self._hosted.agent.host,
            driver=name,
            generation=self._report.generation,
            desired_generation=max(self._hosted.publisher.generation, self._view.changed_at),
            resources=assembly.count(kinds),
            failures=len(failing) + len(alarms),
            detail=detail,
        )

    def _object_line(self, write: Write) -> str:
        """Empty for claims."""
        key = parse_thing_key(write.key)
        if key is None:
            return ""
        after = rows.decode(key, write.value) if isinstance(write, Put) else None
        return object_line(key, self._view.find(key), after)


async def _of_others(hosted: Hosted) -> list[Leak]:
    standing = await hosted.others() if hosted.others else {}
    return [
        Leak(
            f"{hosted.agent.host}/of another deployment",
            "deployment",
            name,
            f"of deployment {deployment or 'unmarked'}, not of this store: remove it with `weft down --deployment`",
        )
        for deployment, names in sorted(standing.items())
        for name in sorted(names)
    ]


def _select(program: Program, kinds: tuple[type, ...], scope: str) -> Program:
    return frozenset(one for one in program if isinstance(one, kinds) and scope in ("", one.scope))


def _texts(program: Program) -> tuple[str, ...]:
    """With the scope before each, because other scopes hold the like."""
    in_order = sorted(program, key=lambda one: (one.scope, one.rank, one.key))
    return tuple(f"{one.scope}: {text_of(one)}" for one in in_order)


def told_steps(host: str, plan: Plan) -> tuple[PlannedStep, ...]:
    told = []
    for step in plan:
        match step:
            case Create(new):
                told.append(PlannedStep(host, Action.CREATE, new.scope, new.key[0], text_of(new)))
            case Replace(old, new):
                told.append(PlannedStep(host, Action.REPLACE, new.scope, new.key[0], text_of(new), text_of(old)))
            case Delete(old):
                told.append(PlannedStep(host, Action.DELETE, old.scope, old.key[0], text_of(old)))
    return tuple(told)
