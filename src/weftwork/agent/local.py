"""An agent in the controller's own process: the embedded default for one machine."""

from contextlib import AbstractContextManager

from weftwork.program.resource import Program
from weftwork.reconciler.reconciler import Pace, Progress, Reconciler
from weftwork.seams.channel import ProgramChange, Report, ReportSink
from weftwork.seams.driver import Driver
from weftwork.telemetry.journeys import Following


class LocalAgent:
    """Implements `seams.channel.AgentLink` over one reconciler."""

    def __init__(
        self, host: str, driver: Driver, sink: ReportSink, pace: Pace = Pace(), following: Following | None = None
    ) -> None:
        self._host = host
        self._sink = sink
        self._following = following or Following()
        self._reconciler = Reconciler(driver, self._report, pace, self._round)

    @property
    def host(self) -> str:
        return self._host

    def publish(self, change: ProgramChange) -> None:
        self._reconciler.submit(change)

    def stand_down(self) -> None:
        """Forget what was told, between two runs: another server leads meanwhile, and knows better."""
        self._reconciler.stand_down()

    def suspect(self, scopes: frozenset[str]) -> None:
        """Look at these scopes now: somebody else changed something there."""
        self._reconciler.suspect(scopes)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        return await self._reconciler.observe(scopes)

    async def settle(self) -> bool:
        return await self._reconciler.settle()

    async def run(self) -> None:
        """Until cancelled. What was programmed stays: a restart loses no packet."""
        await self._reconciler.run()

    def _round(self, tried: int, generation: int) -> AbstractContextManager[None]:
        return self._following.work("reconcile", after=tried, up_to=generation)

    def _report(self, progress: Progress) -> None:
        self._sink(Report(self._host, progress.generation, progress.failures))
