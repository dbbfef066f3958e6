"""The one loop of a host, whoever asks for what is on it."""

from collections.abc import Callable, Mapping

from weftwork.agent.layers import Layers
from weftwork.base.errors import Failure
from weftwork.program.resource import Key, Program
from weftwork.reconciler.reconciler import Pace, Progress, Reconciler
from weftwork.seams.channel import ProgramChange
from weftwork.seams.driver import Driver


class HostLoop:
    """`layers` is where programs come in."""

    def __init__(self, driver: Driver, pace: Pace, report: Callable[[Progress], None] = lambda progress: None) -> None:
        self._reconciler = Reconciler(driver, report, pace)
        self.layers = Layers(self._reconciler.submit)

    def suspect(self, scopes: frozenset[str]) -> None:
        """Look at these scopes now: somebody else changed something there."""
        self._reconciler.suspect(scopes)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        """What is there by the server's word, or by nobody's. Raises Failure."""
        return self.layers.without_asked(await self._reconciler.observe(scopes))

    async def settle(self, timeout_s: float) -> bool:
        return await self._reconciler.settle(timeout_s)

    def failures(self) -> Mapping[Key, Failure]:
        return self._reconciler.progress.failures

    async def run(self) -> None:
        """Until cancelled. What was programmed stays."""
        await self._reconciler.run()


class LoneAgent:
    """Of a host without a server: all that is on it was asked for at the host itself."""

    def __init__(self, driver: Driver, pace: Pace) -> None:
        self.loop = HostLoop(driver, pace)

    def suspect(self, scopes: frozenset[str]) -> None:
        self.loop.suspect(scopes)

    async def run(self) -> None:
        """Until cancelled. What was programmed stays."""
        self.loop.layers.tell(ProgramChange(1, True, frozenset()))
        await self.loop.run()
