"""What the kernel counts for a VPC: read when somebody asks, and never a resource."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Usage:
    """`dropped`: packets by reason. `port_dropped`: what the guard dropped, by device and reason. `nat_ports`: flows
    that are translated, by external address; None where there are too many flows to look at each."""

    dropped: Mapping[str, int] = field(default_factory=dict)
    port_dropped: Mapping[tuple[str, str], int] = field(default_factory=dict)
    conntrack: int = 0
    nat_ports: Mapping[str, int] | None = field(default_factory=dict)


class UsageSource(Protocol):
    async def usage(self, scopes: Collection[str]) -> Mapping[str, Usage]:
        """By scope; one that is not there is left out."""
        ...

    async def conntrack_max(self) -> int:
        """How many flows the kernel tracks at most, in all namespaces together; 0 if it does not say."""
        ...
