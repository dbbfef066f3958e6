"""Figures of what the kernels count for the VPCs: bounded in number, and read no more often than they are worth."""

import time
from collections.abc import Iterator, Mapping
from itertools import islice

from weftwork.actions.view import IntentView
from weftwork.model.intent import ProjectIntent, lodgers_of
from weftwork.seams.usage import Usage, UsageSource
from weftwork.telemetry.metrics import Figure

VPCS_MAX = 500
"""Those with the lowest names: who has more looks at them by the host's own means."""
PORT_SERIES_MAX = 10_000
FRESH_S = 10.0
_DROPPED = "Packets that were dropped, by the reason in the counters' names."
_AT_PORT = "Frames of a port that its guard dropped: spoofed, or of a kind that no port may send."
_TRACKED = "Flows that the kernel tracks for the VPC."
_NAT = "Flows that are translated to the external address: each has a port of it, per protocol and destination."


class UsageFigures:
    def __init__(self, view: IntentView, source: UsageSource) -> None:
        self._view = view
        self._source = source
        self._figures: tuple[Figure, ...] = ()
        self._read_at = -FRESH_S

    async def figures(self) -> tuple[Figure, ...]:
        if time.monotonic() - self._read_at >= FRESH_S:
            self._read_at = time.monotonic()
            self._figures = await self._read()
        return self._figures

    async def _read(self) -> tuple[Figure, ...]:
        owners = sorted(owner for owner, project in self._view.intent.items() if project.vpc)[:VPCS_MAX]
        homes = {vpc.netns: owner for owner in owners if (vpc := self._view.intent[owner].vpc)}
        usages = await self._source.usage(homes.keys())
        limit = Figure("weft_conntrack_max", "Flows that the host tracks at most.", await self._source.conntrack_max())
        found: list[Figure] = [limit]
        series: list[Figure] = []
        for scope, usage in usages.items():
            project = self._view.intent.get(homes[scope])
            if project is not None:
                found += _of_vpc(str(homes[scope]), usage)
                series += self._of_ports(project, usage)
        return (*found, *islice(series, PORT_SERIES_MAX))

    def _of_ports(self, project: ProjectIntent, usage: Usage) -> Iterator[Figure]:
        if not usage.port_dropped or project.vpc is None:
            return
        here = (*project.ports.values(), *lodgers_of(self._view.intent, project.vpc.owner))
        ports = {port.device: port for port in here}
        for (device, reason), packets in sorted(usage.port_dropped.items()):
            if port := ports.get(device):
                labels = {"project": str(port.owner), "port": port.name or port.id, "reason": reason}
                yield Figure("weft_port_dropped_packets", _AT_PORT, packets, labels, grows=True)


def _of_vpc(project: str, usage: Usage) -> Iterator[Figure]:
    labels: Mapping[str, str] = {"project": project}
    for reason, packets in sorted(usage.dropped.items()):
        yield Figure("weft_dropped_packets", _DROPPED, packets, {**labels, "reason": reason}, grows=True)
    yield Figure("weft_conntrack_entries", _TRACKED, usage.conntrack, labels)
    for address, flows in sorted((usage.nat_ports or {}).items()):
        yield Figure("weft_nat_ports_used", _NAT, flows, {**labels, "address": address})
