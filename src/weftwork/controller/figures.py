"""Sizes, lags and failures of the deployment, read from the view and the targets when somebody asks."""

from collections.abc import Iterator

from weftwork.actions.network import NetworkSettings
from weftwork.actions.view import IntentView
from weftwork.allocator import vnis
from weftwork.controller.usage import UsageFigures
from weftwork.seams.insight import Insight, TargetSummary
from weftwork.telemetry.metrics import Figure

WHOLE = "target"
"""What the detail of a target begins with that is out of reach as a whole."""


class DeploymentFigures:
    def __init__(
        self, view: IntentView, insight: Insight, settings: NetworkSettings, usage: UsageFigures | None = None
    ) -> None:
        self._usage = usage
        self._view = view
        self._insight = insight
        self._settings = settings

    async def figures(self) -> tuple[Figure, ...]:
        targets = await self._insight.targets()
        used = await self._usage.figures() if self._usage else ()
        return (*self._sizes(), *self._pools(), *(one for target in targets for one in _of_target(target)), *used)

    async def not_ready(self) -> tuple[str, ...]:
        targets = await self._insight.targets()
        return tuple(f"{one.host}/{one.driver}: {one.detail}" for one in targets if one.detail.startswith(WHOLE))

    def _sizes(self) -> Iterator[Figure]:
        projects = self._view.intent.values()
        ports = [port for project in projects for port in project.ports.values()]
        addresses = sum(len(port.addresses) for port in ports)
        yield Figure("overlay_network_vpcs_total", "Total number of VPCs.", sum(1 for one in projects if one.vpc))
        yield Figure(
            "overlay_network_subnets_total", "Total number of subnets.", sum(len(one.subnets) for one in projects)
        )
        yield Figure("overlay_network_ports_total", "Total number of ports.", len(ports))
        yield Figure("overlay_network_ip_allocations_total", "Total IP allocations.", addresses)
        yield Figure(
            "weft_ports_attached", "Ports that somebody uses.", sum(1 for one in ports if one.attachment is not None)
        )
        yield Figure("weft_security_groups", "Number of security groups.", sum(len(one.groups) for one in projects))
        yield Figure("weft_store_revision", "The newest revision that this server has seen.", self._view.revision)

    def _pools(self) -> Iterator[Figure]:
        used = "Taken from a pool of the deployment."
        size = "What the pool holds."
        external = sum(pool.num_addresses for pool in self._settings.external)
        ranges = 1 << max(0, 16 - self._settings.cidr_pool.prefixlen)
        pools = {
            "vni": (len(self._view.vnis), vnis.LAST - vnis.FIRST + 1),
            "cidr": (len(self._view.pool_claims), ranges),
            "external": (len(self._view.external), external),
        }
        for name, (taken, capacity) in pools.items():
            yield Figure("weft_pool_used", used, taken, {"pool": name})
            yield Figure("weft_pool_size", size, capacity, {"pool": name})


def _of_target(target: TargetSummary) -> Iterator[Figure]:
    labels = {"host": target.host, "driver": target.driver}
    lag = max(0, target.desired_generation - target.generation)
    yield Figure("weft_target_generation_lag", "Revisions that the target has not tried yet.", lag, labels)
    yield Figure("weft_target_resources", "Resources that the target should hold.", target.resources, labels)
    yield Figure("weft_target_failures", "Resources that could not be made.", target.failures, labels)
