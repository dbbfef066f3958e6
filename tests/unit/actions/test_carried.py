"""What a data plane does not carry is refused when it is asked for, with what to ask for instead; in a dry run, too."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from weftwork.actions.network import Network
from weftwork.actions.network_policies import create_network_policy
from weftwork.actions.ports import create_port
from weftwork.actions.security_groups import create_security_group
from weftwork.actions.subnets import create_subnet
from weftwork.actions.vpcs import create_vpc
from weftwork.compiler.capabilities import LINUX, LINUX_VLAN, OVN, Carries
from weftwork.compiler.ovn.guard import GUARD, RULE
from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule
from weftwork.model.security_group import PortRange, Protocol, Rule
from weftwork.program.ovn import Acl
from weftwork.testing import strategies as make
from weftwork.testing.network_kit import RED, SETTINGS, network_at, refused

ANYWHERE = IPv4Network("0.0.0.0/0")
At = Callable[[Carries], AbstractAsyncContextManager[Network]]


@pytest.fixture
def network_on(tmp_path: Path) -> At:
    @asynccontextmanager
    async def open_(carries: Carries) -> AsyncIterator[Network]:
        async with network_at(tmp_path, replace(SETTINGS, carries=carries)) as network:
            await create_vpc(network, owner=RED, name="main", cidr=IPv4Network("10.1.0.0/16"))
            for name, cidr in (("web", "10.1.7.0/24"), ("db", "10.1.8.0/24")):
                await create_subnet(network, owner=RED, name=name, cidr=IPv4Network(cidr), dhcp_enabled=True)
            yield network

    return open_


def rules(first: int, count: int) -> tuple[PolicyRule, ...]:
    ports = range(first, first + count)
    return tuple(PolicyRule(Action.DENY, Protocol.TCP, PortRange(one, one), ANYWHERE) for one in ports)


async def policy(network: Network, name: str, kind: PolicyKind, count: int) -> None:
    await create_network_policy(
        network, owner=RED, name=name, kind=kind, subnet="", priority=100, rules=rules(1, count)
    )


async def attach(network: Network, subnet: str, name: str) -> None:
    await create_port(network, owner=RED, subnet=subnet, name=name, vm=name)


async def test_on_ovn_no_more_rules_of_policies_are_taken_than_there_is_room_for(network_on: At) -> None:
    async with network_on(replace(OVN, policy_rules_max=7)) as network:
        await policy(network, "in", PolicyKind.INGRESS, 4)
        await policy(network, "out", PolicyKind.EGRESS, 7)
        async with refused(network, "BACKEND_UNSUPPORTED", "OVN", "8 ingress rules", "7 fit"):
            await policy(network, "more", PolicyKind.INGRESS, 4)
        async with refused(network, "BACKEND_UNSUPPORTED", "8 egress rules"):
            await policy(network, "apart", PolicyKind.ISOLATION, 0)
        await policy(network, "last", PolicyKind.INGRESS, 3)


async def test_on_ovn_a_rule_may_not_begin_at_port_zero_but_be_about_all_ports(network_on: At) -> None:
    low, every = (Rule(Protocol.TCP, PortRange(0, last), ANYWHERE) for last in (1023, 65535))
    async with network_on(OVN) as network:
        async with refused(network, "BACKEND_UNSUPPORTED", "port 0"):
            await create_security_group(network, owner=RED, name="low", ingress=(low,))
        await create_security_group(network, owner=RED, name="every", ingress=(every,))


async def test_linux_takes_both(network_on: At) -> None:
    async with network_on(LINUX) as network:
        rule = Rule(Protocol.TCP, PortRange(0, 1023), ANYWHERE)
        await create_security_group(network, owner=RED, name="low", ingress=(rule,))


@pytest.mark.parametrize(("carries", "link"), [(LINUX, "subnet web"), (LINUX_VLAN, "the VPC")])
async def test_a_bridge_takes_no_more_ports_than_it_has(network_on: At, carries: Carries, link: str) -> None:
    async with network_on(replace(carries, link_ports_max=2)) as network:
        for name in ("a", "b"):
            await attach(network, "web", name)
        async with refused(network, "BACKEND_UNSUPPORTED", link, "3 attached ports"):
            await attach(network, "web", "c")
        if carries.link_is_vpc:
            async with refused(network, "BACKEND_UNSUPPORTED", link):
                await attach(network, "db", "c")
        else:
            await attach(network, "db", "c")


def test_ovn_has_a_priority_for_each_of_as_many_rules_as_are_taken() -> None:
    owner, count = RED, OVN.policy_rules_max or 0
    some = [
        NetworkPolicy(owner, f"p{first}", PolicyKind.INGRESS, "", 1, rules(first, min(100, count + 1 - first)), 0)
        for first in range(1, count + 1, 100)
    ]
    project = make.project(make.vpc(owner), make.subnet(owner), *some)
    program = compile_slice({owner: project}, ("policies", *owner), OvnProfile())

    priorities = [one.priority for one in program if isinstance(one, Acl)]
    assert len(set(priorities)) == count and min(priorities) > RULE and max(priorities) < GUARD


async def test_a_dry_run_is_refused_as_the_call_would_be(network_on: At) -> None:
    two = replace(OVN, policy_rules_max=2)
    async with network_on(two) as network, refused(network, "BACKEND_UNSUPPORTED", "3 ingress rules"):
        await policy(network.dry(), "in", PolicyKind.INGRESS, 3)
