"""What is wrong with a host's program stays with the server, and the other hosts get theirs."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from weftwork.actions import rows
from weftwork.base.addresses import Mac
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import Routing
from weftwork.compiler.slices import Compile
from weftwork.controller.fleet import FleetController, FleetHost, Lower
from weftwork.controller.judging import host_judge
from weftwork.controller.publisher import ALONE
from weftwork.model.host import Host, HostFacts
from weftwork.model.intent import Intent
from weftwork.program.linux import PortLink
from weftwork.program.resource import Program, SliceId
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.fleets import GATEWAYS, HOSTS, SpreadView, profile_of, things_of
from weftwork.testing.strategies import Edit
from weftwork.verifier.violation import Fault

judge = partial(host_judge, gateway=GATEWAYS.address)
FACTS = HostFacts("6.1", ("br_netfilter",), True, True)


class Clock:
    def now_s(self) -> int:
        return 1


def lower_wrongly_for(wrong: str) -> Lower:
    """On that host every port's device stands under its bridge a second time, for a stranger."""

    def lower(host: Host, facts: HostFacts, routing: Routing) -> Compile:
        def compiled(intent: Intent, slice_id: SliceId) -> Program:
            right = compile_slice(intent, slice_id, profile_of(host.name))
            if host.name != wrong:
                return right
            links = [one for one in right if isinstance(one, PortLink)]
            return right | {replace(one, name="tap999999999999", mac=Mac("02:57:00:00:99:99")) for one in links}

        return compiled

    return lower


def is_decided(one: FleetHost) -> bool:
    return one.publisher is not None and bool(one.link.resources or one.publisher.review.alarms)


def lower_to_vlans(host: Host, facts: HostFacts, routing: Routing) -> Compile:
    profile = replace(profile_of(host.name), filter_mode="bridge", layout="vlan")
    return lambda intent, slice_id: compile_slice(intent, slice_id, profile)


@pytest.mark.parametrize("seed", range(8))
async def test_programs_with_one_bridge_that_filters_vlans_are_judged_right(seed: int) -> None:
    view = SpreadView(hosts={name: (replace(one, facts=FACTS), 1) for name, one in HOSTS.items()})
    for project in draw_case(seed).before.values():
        for thing in things_of(project):
            view.apply(Edit(rows.key_of(thing), thing))
    controller = FleetController(view, Clock(), lower_to_vlans, judge, "")  # type: ignore[arg-type]

    await decided(controller)

    alarms = {name: dict(one.publisher.review.alarms) for name, one in controller.hosts.items() if one.publisher}
    assert alarms == {"h1": {}, "h2": {}, "h3": {}}


async def decided(controller: FleetController) -> None:
    controller.start()
    running = asyncio.create_task(controller.run(ALONE))
    for _ in range(4000):
        if all(map(is_decided, controller.hosts.values())):
            break
        await asyncio.sleep(0.005)
    running.cancel()


async def test_a_program_with_a_stranger_in_it_is_published_to_no_host() -> None:
    view = SpreadView(hosts={name: (replace(one, facts=FACTS), 1) for name, one in HOSTS.items()})
    for project in draw_case(3).before.values():
        for thing in things_of(project):
            view.apply(Edit(rows.key_of(thing), thing))
    controller = FleetController(view, Clock(), lower_wrongly_for("h1"), judge, "")  # type: ignore[arg-type]

    await decided(controller)

    told = {name: one.publisher.review.alarms for name, one in controller.hosts.items() if one.publisher}
    assert {one.fault for one in told["h1"].values()} == {Fault.ISOLATION}
    assert controller.hosts["h1"].link.resources == 0
    for name in ("h2", "h3"):
        assert not told[name]
        assert controller.hosts[name].link.resources > 0
