"""A program that would let tenants meet is not published, alone; it is told; and it goes out when it is right again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from weftwork.actions.network import Network
from weftwork.actions.ports import create_port, delete_port
from weftwork.actions.rows import key_of
from weftwork.actions.security_groups import create_security_group
from weftwork.actions.vpcs import create_vpc, delete_vpc
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.insight import ControllerInsight, Hosted
from weftwork.controller.judging import linux_judge
from weftwork.controller.publisher import Publisher
from weftwork.model.intent import Intent
from weftwork.program.linux import Bridge
from weftwork.program.resource import Program, SliceId
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

    async def begin(self) -> None:
        await self.publisher.publish_all()

    async def follow(self) -> None:
        await self.publisher.publish(await anext(self.news))

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
        await world.begin()
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
        await world.begin()
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
        await world.begin()
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
        await world.begin()
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
        await world.begin()
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
        await world.begin()
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
        await world.begin()
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
        await world.begin()
        before = world.judge.looked_at
        await create_security_group(network, owner=RED, name="a")
        await world.follow()

        change = world.host.told[-1]
        assert world.judge.looked_at - before == len(change.added) + len(change.removed)


async def test_the_verifier_keeps_back_a_compiler_that_joins_tenants_and_lets_the_right_one_through(
    tmp_path: Path,
) -> None:
    """The real judge and a compiler that puts one tenant's guest into the other's namespace."""
    async with network_at(tmp_path) as network:
        for owner in (RED, BLUE):
            await make(network, owner)
            await create_port(network, owner=owner, name="guest", vm="vm", groups=("default",))
        scopes = [network.view.intent[owner].vpc.netns for owner in (RED, BLUE)]  # type: ignore[union-attr]
        is_wrong = False

        def compiled(intent: Intent, slice_id: SliceId) -> Program:
            program = compile_slice(intent, slice_id, HostProfile())
            if not is_wrong or slice_id[:3] != ("port", *BLUE):
                return program
            return frozenset(replace(one, scope=scopes[0]) if hasattr(one, "scope") else one for one in program)

        host = Host()
        publisher = Publisher(network.view, compiled, host, linux_judge())
        news = network.view.subscribe()
        await publisher.publish_all()
        assert not publisher.review.alarms
        before = host.program

        is_wrong = True
        await create_port(network, owner=BLUE, name="second", vm="vm2", groups=("default",))
        await publisher.publish(await anext(news))
        assert {scopes[0]} <= publisher.review.alarms.keys()
        assert {one for one in host.program if one.scope == scopes[0]} == {
            one for one in before if one.scope == scopes[0]
        }
        assert all(alarm.packet is not None for alarm in publisher.review.alarms.values())

        is_wrong = False
        await delete_port(network, owner=BLUE, port="second", cascade=False)
        await publisher.publish(await anext(news))
        assert not publisher.review.alarms
        assert host.program == before
