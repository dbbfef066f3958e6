"""What is told of the things behind the seams: conditions, plans, targets and leaks, as messages."""

from collections.abc import Iterable

from weftwork.model.keys import ThingKey
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft
from weftwork.seams.conditions import Condition, Status
from weftwork.seams.insight import (
    Action,
    Leak,
    PlannedStep,
    PlanPreview,
    ReachChange,
    ReachShare,
    TargetState,
    TargetSummary,
)

_STATUSES = {
    Status.TRUE: pb.Condition.STATUS_TRUE,
    Status.FALSE: pb.Condition.STATUS_FALSE,
    Status.UNKNOWN: pb.Condition.STATUS_UNKNOWN,
}
_ACTIONS = {
    Action.CREATE: weft.PlanStep.ACTION_CREATE,
    Action.REPLACE: weft.PlanStep.ACTION_REPLACE,
    Action.DELETE: weft.PlanStep.ACTION_DELETE,
}


def condition(value: Condition) -> pb.Condition:
    type_, status, reason, message, revision, since_s = value
    return pb.Condition(
        type=type_,
        status=_STATUSES[status],
        reason=reason,
        message=message,
        observed_revision=revision,
        last_transition=since_s,
    )


def condition_event(
    key: ThingKey, conditions: Iterable[Condition], *, deleted: bool, met: bool = False
) -> weft.ConditionEvent:
    return weft.ConditionEvent(
        resource=resource(key), deleted=deleted, conditions=[condition(one) for one in conditions], met=met
    )


def resource(key: ThingKey) -> weft.ResourceRef:
    return weft.ResourceRef(kind=key.kind, org_id=key.owner.org, project_id=key.owner.project, id=key.name)


def plan(preview: PlanPreview) -> weft.PlanResponse:
    return weft.PlanResponse(
        objects=preview.objects,
        steps=[_step(one) for one in preview.steps],
        reach=[_reach_change(one) for one in preview.reach],
    )


def _reach_change(value: ReachChange) -> weft.ReachChange:
    return weft.ReachChange(
        org_id=value.owner.org,
        project_id=value.owner.project,
        gained=_reach_share(value.gained),
        lost=_reach_share(value.lost),
    )


def _reach_share(value: ReachShare) -> weft.ReachShare:
    examples = [
        weft.ReachExample(source=one.source, destination=one.destination, packets=one.packets) for one in value.examples
    ]
    return weft.ReachShare(pairs=value.pairs, outwards=value.outwards, forwards=value.forwards, examples=examples)


def _step(value: PlannedStep) -> weft.PlanStep:
    return weft.PlanStep(
        host=value.host,
        action=_ACTIONS[value.action],
        scope=value.scope,
        kind=value.kind,
        text=value.text,
        old_text=value.old_text,
    )


def target(value: TargetSummary) -> weft.Target:
    return weft.Target(
        host=value.host,
        driver=value.driver,
        generation=value.generation,
        desired_generation=value.desired_generation,
        resources=value.resources,
        failures=value.failures,
        detail=value.detail,
    )


def target_state(value: TargetState) -> weft.TargetState:
    return weft.TargetState(desired=value.desired, observed=value.observed, steps=[_step(one) for one in value.steps])


def leak(value: Leak) -> weft.Leak:
    return weft.Leak(where=value.where, kind=value.kind, id=value.id, why=value.why)
