"""Quotas: what a project may have and what it has; and the operator's word on one project."""

from collections.abc import Mapping
from dataclasses import dataclass

from weftwork.access.quotas import DEFAULTS, ProjectQuota, check_limits
from weftwork.actions.audit import AccessChange, record_of
from weftwork.actions.network import ATTEMPTS, CATCH_UP_S, Network
from weftwork.actions.quota_row import encoded, quota_of, shown
from weftwork.base import codes
from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.seams.store import Conflict, Put, Remove, Transaction, Unchanged


@dataclass(frozen=True, slots=True)
class Usage:
    """`limit` is None without end; `is_own` when it was said of this project."""

    resource: str
    used: int
    limit: int | None
    is_own: bool


def get_quota(network: Network, owner: ProjectKey) -> tuple[ProjectQuota, tuple[Usage, ...]]:
    """Also of a project that is not there yet."""
    guard = network.quota_guard
    quota = guard.of(owner)
    usages = (
        Usage(resource, guard.used(owner, resource), guard.limit(owner, resource), resource in quota.limits)
        for resource in DEFAULTS
    )
    return quota, tuple(usages)


async def set_quota(
    network: Network,
    owner: ProjectKey,
    *,
    limits: Mapping[str, int],
    reset: tuple[str, ...] = (),
    external: tuple[Cidr, ...] | None = None,
    any_external: bool = False,
    ranges: tuple[Cidr, ...] | None = None,
    any_range: bool = False,
) -> None:
    """What is not named stays. A limit below what is there lets that stay, and nothing come.

    Refusals INVALID_ARGUMENT, TOO_MANY_CONFLICTS.
    """
    check_limits(limits)
    check_limits(dict.fromkeys(reset, 0))
    for _ in range(ATTEMPTS):
        record = await network.store.get(keys.quota(owner))
        old = quota_of(record.value) if record else ProjectQuota()
        kept = {resource: limit for resource, limit in old.limits.items() if resource not in reset}
        new = ProjectQuota(
            kept | dict(limits),
            None if any_external else old.external if external is None else external,
            None if any_range else old.ranges if ranges is None else ranges,
        )
        write = Put(keys.quota(owner), encoded(new)) if new != ProjectQuota() else Remove(keys.quota(owner))
        change = AccessChange(f"quota {owner}", shown(old), shown(new))
        compare = Unchanged(keys.quota(owner), record.revision if record else 0)
        try:
            revision = await network.store.commit(
                Transaction((compare,), (write, record_of(network, owner.org, owner.project, change)))
            )
        except Conflict:
            continue
        await network.view.wait_for(revision, timeout_s=CATCH_UP_S)
        return
    raise codes.TOO_MANY_CONFLICTS.refusal("others set this quota again and again")
