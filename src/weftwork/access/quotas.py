"""How much of everything a project may have, and which addresses: the operator's defaults, and each project's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from weftwork.base import codes
from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey

DEFAULTS: Mapping[str, int] = {
    "subnet": 256,
    "port": 65_536,
    "security-group": 1_000,
    "rule": 20_000,
    "snat": 1,
    "dnat": 1_000,
    "external-address": 64,
    "peering": 50,
    "network-policy": 50,
    "reach-test": 1_000,
    "subnet-share": 1_000,
    "vm": 1_000,
    "vcpu": 4_000,
    "memory-mib": 8_388_608,
    "disk-mib": 10_000_000,
    "ssh-key": 1_000,
}
"""By resource. A VPC has no quota: a project has one. Rules are those of all security groups together."""
LIMIT_MAX = 10_000_000


@dataclass(frozen=True, slots=True)
class ProjectQuota:
    """What the operator said of one project. An allow-list of None allows what is offered; an empty one nothing."""

    limits: Mapping[str, int] = field(default_factory=dict)
    external: tuple[Cidr, ...] | None = None
    ranges: tuple[Cidr, ...] | None = None

    def limit(self, resource: str, defaults: Mapping[str, int]) -> int | None:
        """None: without end."""
        return self.limits.get(resource, defaults.get(resource))

    def check_external(self, owner: ProjectKey, address: Address) -> None:
        """Refusal EXTERNAL_IP_NOT_ALLOWED."""
        if self.external is not None and not any(address in one for one in self.external):
            allowed = ", ".join(map(str, self.external)) or "none"
            raise codes.EXTERNAL_IP_NOT_ALLOWED.refusal(
                f"project {owner} may not use {address} (allowed: {allowed})", field="external_ip"
            )

    def check_range(self, owner: ProjectKey, cidr: Cidr) -> None:
        """Refusal CIDR_NOT_ALLOWED."""
        if self.ranges is not None and not any(_within(cidr, one) for one in self.ranges):
            allowed = ", ".join(map(str, self.ranges)) or "none"
            raise codes.CIDR_NOT_ALLOWED.refusal(
                f"project {owner} may not have the range {cidr} (allowed: {allowed})", field="cidr"
            )


def narrowed(offered: tuple[Cidr, ...], allowed: tuple[Cidr, ...] | None) -> tuple[Cidr, ...]:
    """What of the offered is allowed."""
    if allowed is None:
        return offered
    return tuple(
        one if _within(one, other) else other
        for one in offered
        for other in allowed
        if _within(one, other) or _within(other, one)
    )


def check_limits(limits: Mapping[str, int]) -> None:
    """Refusal INVALID_ARGUMENT."""
    for resource, limit in limits.items():
        if resource not in DEFAULTS:
            raise codes.INVALID_ARGUMENT.refusal(
                f"{resource!r} has no quota", hint=f"Use one of {', '.join(DEFAULTS)}.", field="limits"
            )
        if not 0 <= limit <= LIMIT_MAX:
            raise codes.INVALID_ARGUMENT.refusal(f"{limit} is not from 0 to {LIMIT_MAX}", field="limits")


def exceeded(owner: ProjectKey, resource: str, *, used: int, more: int, limit: int) -> Exception:
    return codes.QUOTA_EXCEEDED.refusal(
        f"project {owner} may have {limit} of {resource} and has {used}, so there is no room for {more} more",
        resource=resource,
        limit=str(limit),
        used=str(used),
        project=str(owner),
    )


def _within(inner: Cidr, outer: Cidr) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
