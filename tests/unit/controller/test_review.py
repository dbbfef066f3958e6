"""A program that would let tenants meet is not published, alone; it is told; and it goes out when it is right again."""

import asyncio
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from weftwork.actions.network import Network
from weftwork.actions.rows import key_of
from weftwork.actions.security_groups import create_security_group
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.insight import ControllerInsight, Hosted
from weftwork.controller.publisher import Publisher
from weftwork.model.intent import Intent
from weftwork.program.linux import Bridge
from weftwork.program.resource import Program
from weftwork.seams.channel import ProgramChange, Report
from weftwork.seams.conditions import Condition, Status
from weftwork.testing.network_kit import BLUE, RED, HandClock, network_at
from weftwork.verifier.packet import TCP, Inside, Probe
from weftwork.verifier.violation import Change, Fault, Violation

PACKET = Probe(Inside(BLUE, "p"), IPv4Address("10.0.0.5"), TCP, 40000, 22)


class Host:
    """An agent's end of the line: it holds what it was told."""

    host = "h1"

    def __init__(self) -> None:
        self.told: list[ProgramChange] = []
        self.program: Program = frozenset()

    def publish(self, change: ProgramChange) -> None:
        assert not change.removed - self.program, "what is taken away was there"
        assert change.complete or not change.added & self.program, "what is added was not"
        self.told.append(change)
        self.program = (frozenset() if change.complete else self.program - change.removed) | change.added

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        return self.program

    async def settle(self) -> bool:
        return True


class Hawk:
    """A judge to whom every device of a namespace in `bad` is a way between tenants."""

    def __init__(self, fault: Fault = Fault.ISOLATION) -> None:
        self.bad: set[str] = set()
        self.fault = fault
        self.looked_at = 0
        self.program: Program = frozenset()

    def judge(self, change: Change, intent: Intent) -> Sequence[Violation]:
        self.looked_at += len(change.added) + len(change.removed)
        scopes = {one.scope for one in change.added if one.scope in self.bad}
        return [Violation(self.fault, scope, "it is bad.", PACKET) for scope in sorted(scopes)]

    def published(self, change: Change) -> None:
        assert not change.removed - self.program
        self.program = self.program - change.removed | change.added


class World:
    def __init__(self, network: Network, judge: Hawk) -> None:
        self.network = network
        self.judge = judge
        self.host = Host()
        self.publisher = Publisher(network.view, partial(compile_slice, profile=HostProfile()), self.host, judge)
        self.board = ConditionBoard(network.view, self.publisher, HandClock())
        self.news = network.view.subscribe()

    def begin(self) -> None:
        self.publisher._publish_all()

    async def follow(self) -> None:
        self.publisher._publish(await anext(self.news))

    def netns(self, owner: ProjectKey) -> str:
        vpc = self.network.view.intent[owner].vpc
        assert vpc is not None
        return vpc.netns

    def held(self, owner: ProjectKey) -> bool:
        """Whether the host lacks something of the project's program."""
        scope = self.netns(owner)
        return self.publisher.assembly.program(scope) != {one for one in self.host.program if one.scope == scope}

    def programmed(self, owner: ProjectKey) -> Condition:
        vpc = self.network.view.intent[owner].vpc
        assert vpc is not None
        self.board.take(Report("h1", self.host.told[-1].generation if self.host.told else 0))
        conditions = self.board.of(key_of(vpc), self.network.view.revision_of(key_of(vpc)))
        return next(one for one in conditions if one.type == "Programmed")


async def make(network: Network, owner: ProjectKey) -> None:
    await create_vpc(network, owner=owner, name="", cidr=None)


async def test_what_is_bad_stays_here_and_what_is_not_goes_out(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        world.begin()
        await make(network, RED)
        world.judge.bad.add(world.netns(RED))
        await world.follow()
        await make(network, BLUE)
        await world.follow()

        assert world.held(RED) and not world.held(BLUE)
        assert world.programmed(BLUE).status is Status.TRUE
        state = world.programmed(RED)
        assert (state.status, state.reason) == (Status.FALSE, "ISOLATION_VIOLATED")
        assert "10.0.0.5" in state.message and "it is bad" in state.message


async def test_the_host_keeps_the_generation_before_of_what_became_bad(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        await make(network, RED)
        await anext(world.news)
        world.begin()
        before = world.host.program
        world.judge.bad.add(world.netns(RED))
        for name in ("a", "b"):
            await create_security_group(network, owner=RED, name=name)
            await world.follow()

        assert world.host.program == before
        assert world.host.told[-1].generation == network.view.revision


async def test_it_recovers_when_the_program_is_right_again(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        world.begin()
        await make(network, RED)
        world.judge.bad.add(world.netns(RED))
        await world.follow()
        await create_security_group(network, owner=RED, name="a")
        await world.follow()
        world.judge.bad.clear()
        await make(network, BLUE)
        await world.follow()

        assert world.host.program == world.publisher.assembly.program() == world.judge.program
        assert world.programmed(RED).status is Status.TRUE
        assert not world.publisher.review.alarms


async def test_what_was_kept_back_and_goes_is_forgotten(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        world.begin()
        await make(network, RED)
        world.judge.bad.add(world.netns(RED))
        await world.follow()
        await delete_vpc(network, owner=RED, cascade=True)
        await world.follow()

        assert world.host.program == world.publisher.assembly.program()
        assert not world.publisher.review.alarms


async def test_a_first_program_that_is_bad_is_not_published_at_all(tmp_path: Path) -> None:
    """A program without the bad project would make the host let go of it."""
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        for owner in (RED, BLUE):
            await make(network, owner)
        await anext(world.news)
        world.judge.bad.add(world.netns(RED))
        world.begin()
        assert world.host.told == []
        assert world.programmed(BLUE).reason == "ISOLATION_VIOLATED"

        world.judge.bad.clear()
        await create_security_group(network, owner=RED, name="a")
        await world.follow()
        (first,) = world.host.told
        assert first.complete
        assert first.added == world.publisher.assembly.program()


async def test_watchers_and_the_list_of_targets_hear_of_the_alarm(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        world.begin()
        hosted = Hosted(world.host, world.publisher, {"linux": (Bridge,)})
        insight = ControllerInsight(network.store, network.view, network.reach, hosted)
        await make(network, RED)
        world.judge.bad.add(world.netns(RED))
        watch = world.board.watch()
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await world.follow()

        change = await waiting
        assert [one.reason for one in change.conditions if one.type == "Programmed"] == ["ISOLATION_VIOLATED"]
        (target,) = await insight.targets()
        assert target.failures == 1
        assert target.detail.startswith("ISOLATION_VIOLATED: ")
        assert "10.0.0.5" in target.detail
        await watch.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.ISOLATION])
async def test_other_faults_are_told_and_published(
    tmp_path: Path, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk(fault))
        world.begin()
        await make(network, RED)
        world.judge.bad.add(world.netns(RED))
        await world.follow()

        assert not world.held(RED)
        assert fault.name in caplog.text


async def test_the_judge_looks_at_the_change_and_not_at_the_rest(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        world = World(network, Hawk())
        await make(network, RED)
        await anext(world.news)
        world.begin()
        before = world.judge.looked_at
        await create_security_group(network, owner=RED, name="a")
        await world.follow()

        change = world.host.told[-1]
        assert world.judge.looked_at - before == len(change.added) + len(change.removed)
