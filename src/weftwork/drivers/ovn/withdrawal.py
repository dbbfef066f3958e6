"""What a plan took away, for whoever must end what lived by it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from weftwork.program.ovn import (
    Acl,
    AclAction,
    AddressSetMember,
    LoadBalancer,
    LogicalRouterPort,
    LogicalSwitchPort,
    Nat,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
)
from weftwork.program.plan import Create, Plan, Step
from weftwork.program.resource import Program, Resource

_FORBIDS = (AclAction.DROP, "drop")
_REACH = (
    Acl,
    AddressSetMember,
    LoadBalancer,
    LogicalRouterPort,
    LogicalSwitchPort,
    Nat,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`translations` is given when some may have gone: all of today's. `scopes` are those in which reach may have gone,
    and `program` reads what is in force in some."""

    translations: Callable[[], Iterable[Resource]] | None = None
    scopes: frozenset[str] = frozenset()
    program: Callable[[Collection[str]], Program] = field(default=lambda _: frozenset())


def forbids(plan: Plan) -> bool:
    """Whether packets that passed may pass no more. What only allows more is found by the datapath itself."""
    return any(not isinstance(step, Create) or _is_a_no(step.new) for step in plan) or any(_old_members(plan))


def ends_translations(plan: Plan) -> bool:
    return any(not isinstance(step, Create) and isinstance(step.old, LoadBalancer | Nat) for step in plan)


def scopes_of(plan: Plan) -> frozenset[str]:
    """Where somebody may reach less than before."""
    lost = (step for step in plan if _takes_reach(step))
    return frozenset(_scope(step) for step in lost) | frozenset(one.scope for one in _old_members(plan))


def _takes_reach(step: Step) -> bool:
    if isinstance(step, Create):
        return _is_a_no(step.new)
    return isinstance(step.old, _REACH)


def _scope(step: Step) -> str:
    return step.new.scope if isinstance(step, Create) else step.old.scope


def _is_a_no(resource: Resource) -> bool:
    return isinstance(resource, Acl | RouterPolicy) and resource.action in _FORBIDS


def _old_members(plan: Plan) -> Iterator[PortGroupMember | AddressSetMember]:
    """New members that are not new themselves: a rule that drops may speak of what they joined."""
    born = {step.new.name for step in plan if isinstance(step, Create) and isinstance(step.new, LogicalSwitchPort)}
    for step in plan:
        if not isinstance(step, Create):
            continue
        if isinstance(step.new, AddressSetMember) or (
            isinstance(step.new, PortGroupMember) and step.new.port not in born
        ):
            yield step.new
