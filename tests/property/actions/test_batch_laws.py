"""Laws: a batch does what its steps do one after the other, in one revision, or nothing at all; and what undoes itself
leads exactly back, whatever it was."""

import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from weftwork.actions import confirmations, nat, ports, reach_tests, security_groups, subnets, vpcs
from weftwork.actions.awaited import State
from weftwork.actions.batch import run_batch
from weftwork.actions.network import Network
from weftwork.actions.reach_tests import Wanted
from weftwork.actions.terms import Terms, Unconfirmed
from weftwork.base.errors import Refusal
from weftwork.controller.confirming import Confirming
from weftwork.model import keys
from weftwork.model.keys import parse_thing_key
from weftwork.model.reach_test import Must, PortRef
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.testing.network_kit import RED, HandClock, content, leaks, network_at, network_on


@dataclass(frozen=True)
class Step:
    verb: Callable[..., Coroutine[Any, Any, Any]]
    arguments: tuple[tuple[str, Any], ...]

    def __call__(self, network: Network) -> Coroutine[Any, Any, Any]:
        return self.verb(network, owner=RED, **dict(self.arguments))

    def __repr__(self) -> str:
        return f"{self.verb.__name__}{self.arguments}"


names = st.sampled_from(["default", "a", "b"])
port_names = st.sampled_from(["p", "q"])
ranges = st.sampled_from([None, *map(IPv4Network, ("10.1.7.0/29", "10.1.6.0/23"))])
cascades = st.booleans()
rules = st.sampled_from([(), (Rule(Protocol.TCP, PortRange(80, 80), GroupRef("a")),)])
inside = IPv4Address("10.1.0.9")


def step(verb: Callable[..., Coroutine[Any, Any, Any]], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries(arguments).map(lambda chosen: Step(verb, tuple(chosen.items())))


def demand(network: Network, *, owner: Any) -> Coroutine[Any, Any, Any]:
    wanted = Wanted("t", Must.NOT_REACH, PortRef("p"), PortRef("q"), Protocol.TCP, PortRange(81, 81))
    return reach_tests.create_reach_test(network, owner=owner, wanted=wanted)


steps = st.one_of(
    step(vpcs.create_vpc, name=st.just(""), cidr=st.just(IPv4Network("10.1.0.0/16"))),
    step(vpcs.delete_vpc, cascade=cascades),
    step(subnets.create_subnet, name=names, cidr=ranges, dhcp_enabled=st.just(True)),
    step(subnets.delete_subnet, subnet=names, cascade=cascades),
    step(security_groups.create_security_group, name=names, ingress=rules),
    step(security_groups.update_security_group, group=names, ingress=rules),
    step(security_groups.delete_security_group, group=names, cascade=cascades),
    step(ports.create_port, name=port_names, subnet=names, groups=st.sampled_from([(), ("a",)])),
    step(ports.create_port, name=port_names, address=st.just(inside)),
    step(ports.delete_port, port=port_names, cascade=cascades),
    step(ports.attach_port, port=port_names, vm=st.just("vm")),
    step(nat.create_snat, external_ip=st.none()),
    step(nat.delete_snat),
    step(
        nat.create_dnat,
        external_ip=st.none(),
        external_port=st.just(80),
        protocol=st.just(Protocol.TCP),
        internal_ip=st.just(inside),
    ),
    step(demand),
    step(reach_tests.delete_reach_test, test=st.just("t")),
)


def shape(network: Network) -> set[Any]:
    """What there is, but for what is chosen freely."""
    here = network.view.intent.get(RED)
    if here is None:
        return set()
    told: set[Any] = {("vpc", here.vpc.cidr if here.vpc else None), ("snat", here.snat and here.snat.external_ip)}
    told |= {("subnet", one.name, one.cidr, one.vlan) for one in here.subnets.values()}
    told |= {("group", one.name, one.ingress, one.egress) for one in here.groups.values()}
    told |= {("port", one.name, one.subnet, one.groups, one.vm) for one in here.ports.values()}
    told |= {("dnat", one.name, one.internal_ip) for one in here.dnats.values()}
    return told | {("test", name) for name in here.reach_tests}


@settings(max_examples=60, deadline=None)
@given(before=st.lists(steps, max_size=6), batch=st.lists(steps, min_size=1, max_size=8))
async def test_a_batch_is_its_steps_in_one_revision_or_nothing(before: list[Step], batch: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        async with network_at(Path(one)) as serial, network_at(Path(other)) as together:
            for network in (serial, together):
                await vpcs.create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.1.0.0/16"))
                for prepared in before:
                    await _outcome(prepared(network))
            refused = next((one for one in [await _outcome(each(serial)) for each in batch] if one), None)
            was = await content(together.store)
            rehearsed = await _outcome(run_batch(together.dry(), batch))
            assert await content(together.store) == was
            answer = await _outcome(run_batch(together, batch))

            assert answer == rehearsed
            if refused is None:
                assert answer is None
                assert shape(together) == shape(serial)
                written = {one for one in set(await content(together.store)) - set(was) if parse_thing_key(one.key)}
                assert len({one.revision for one in written}) <= 1
            elif answer is not None:
                # What is set up before a batch may stay: MACs that are never given, a guard that guards nothing.
                set_up = {keys.reach_guard(RED), keys.mac_counter(RED)}
                assert {one for one in set(await content(together.store)) ^ set(was) if one.key not in set_up} == set()
            event(f"refused: {answer}")
            assert await leaks(together.store) == ()
            async with network_on(together.store) as fresh:
                assert fresh.view.intent == together.view.intent


async def _outcome(call: Coroutine[Any, Any, Any]) -> str | None:
    try:
        await call
    except Refusal as refusal:
        return refusal.code
    return None


async def things(network: Network) -> dict[str, bytes]:
    """Without when the VPC was last changed."""
    found = {one.key: one.value for one in await content(network.store) if parse_thing_key(one.key)}
    return {key: value for key, value in found.items() if not key.startswith("/networks/vpcs/")}


class Nowhere:
    async def targets(self) -> tuple[()]:
        return ()


@settings(max_examples=30, deadline=None)
@given(before=st.lists(steps, max_size=6), change=st.lists(steps, min_size=1, max_size=5))
async def test_a_change_that_undoes_itself_leads_exactly_back(before: list[Step], change: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with network_at(Path(folder)) as network:
            await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
            for one in before:
                await _outcome(one(network))
            was = await things(network)
            for number, some in enumerate(change):
                unconfirmed = network.on_terms(Terms(unconfirmed=Unconfirmed(f"c{number}", 60)))
                await _outcome(run_batch(unconfirmed, [some]))
            assert isinstance(network.clock, HandClock)
            network.clock.time_s += 60

            await Confirming(network, is_ours=lambda: True, targets=Nowhere()).once()

            told = await confirmations.list_confirmations(network, owner=RED)
            event(f"undone: {len(told)}")
            assert all(one.state is State.UNDONE for one in told)
            assert await things(network) == was
            assert await leaks(network.store) == ()
