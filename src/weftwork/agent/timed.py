"""A driver whose operations are timed."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from weftwork.base.errors import Failure
from weftwork.program.plan import Plan
from weftwork.program.resource import Key, Program
from weftwork.seams.driver import Applied, Driver, InForce
from weftwork.telemetry.metrics import Metrics


class TimedDriver:
    def __init__(self, name: str, driver: Driver, metrics: Metrics) -> None:
        self._name = name
        self._driver = driver
        self._metrics = metrics

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        with self._metrics.operation(self._name, "observe"):
            return await self._driver.observe(scopes)

    async def apply(self, plan: Plan) -> Applied:
        with self._metrics.operation(self._name, "apply"):
            applied = await self._driver.apply(plan)
        return replace(applied, in_force=self._timed(applied.in_force)) if applied.in_force else applied

    def _timed(self, in_force: InForce) -> InForce:
        async def timed(keys: Collection[Key]) -> Mapping[Key, Failure]:
            with self._metrics.operation(self._name, "in_force"):
                return await in_force(keys)

        return timed
