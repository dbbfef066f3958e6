"""A driver whose operations are timed, and told in the traces of the calls they are done for."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from weftwork.base.errors import Failure
from weftwork.program.plan import Plan
from weftwork.program.resource import Key, Program
from weftwork.seams.driver import Applied, Driver, InForce
from weftwork.telemetry.metrics import Metrics
from weftwork.telemetry.traces import NoSpans, Spans
from weftwork.telemetry.trail import along, current


class TimedDriver:
    def __init__(self, name: str, driver: Driver, metrics: Metrics, spans: Spans | None = None) -> None:
        self._spans = spans or NoSpans()
        self._name = name
        self._driver = driver
        self._metrics = metrics

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        with self._metrics.operation(self._name, "observe"), self._spans.span(f"{self._name} observe"):
            return await self._driver.observe(scopes)

    async def apply(self, plan: Plan) -> Applied:
        attributes = {"weftwork.steps": len(plan)}
        with self._metrics.operation(self._name, "apply"), self._spans.span(f"{self._name} apply", attributes):
            applied = await self._driver.apply(plan)
        return replace(applied, in_force=self._timed(applied.in_force)) if applied.in_force else applied

    def _timed(self, in_force: InForce) -> InForce:
        trail = current()

        async def timed(keys: Collection[Key]) -> Mapping[Key, Failure]:
            name = f"{self._name} in force"
            with along(trail), self._metrics.operation(self._name, "in_force"), self._spans.span(name):
                return await in_force(keys)

        return timed
