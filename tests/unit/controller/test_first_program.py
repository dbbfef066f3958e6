"""The very first change of all is programmed when the host has tried it, and not before."""

from functools import partial
from pathlib import Path

from weftwork.actions.rows import key_of
from weftwork.actions.vpcs import create_vpc
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.publisher import Publisher
from weftwork.program.resource import Program
from weftwork.seams.channel import ProgramChange, Report
from weftwork.seams.conditions import Status
from weftwork.testing.network_kit import RED, HandClock, network_at


class Host:
    """An agent's end of the line: it keeps what it was told."""

    host = "h1"

    def __init__(self) -> None:
        self.told: list[ProgramChange] = []

    def publish(self, change: ProgramChange) -> None:
        self.told.append(change)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        return frozenset()

    async def settle(self) -> bool:
        return True


async def test_what_an_empty_host_tried_before_does_not_count_for_the_first_change(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        host = Host()
        publisher = Publisher(network.view, partial(compile_slice, profile=HostProfile()), host)
        board = ConditionBoard(network.view, publisher, HandClock())
        await publisher.publish_all()
        board.take(Report("h1", host.told[-1].generation))

        made = await create_vpc(network, owner=RED, name="web", cidr=None)

        conditions = {one.type: one.status for one in board.of(key_of(made.value), made.revision)}
        assert conditions == {"Accepted": Status.TRUE, "Programmed": Status.FALSE}
        board.take(Report("h1", made.revision))
        conditions = {one.type: one.status for one in board.of(key_of(made.value), made.revision)}
        assert conditions["Programmed"] is Status.TRUE
