"""A trial costs what the change touches: as much among 10,000 ports as among 100."""

import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.port import Port
from weftwork.model.reach_test import Must, ReachTest, parse_end
from weftwork.model.security_group import PortRange, Protocol
from weftwork.testing import strategies as make
from weftwork.verifier.reach_tests import broken_by
from weftwork.verifier.trial import Changes, Standing, diff_of

OWNER = ProjectKey("large", "web")
GROUPS = 20
ROUNDS = 25
FLAT = 3.0
"""Medians of runs side by side on a machine that does other things too; what grows with the ports grows 100-fold."""


def a_port(number: int) -> Port:
    one = make.port(OWNER, number, groups=(f"g{number % GROUPS}",))
    return replace(one, addresses=(IPv4Address("10.0.0.10") + number,))


def project(ports: int) -> ProjectIntent:
    groups = (
        make.group(
            OWNER,
            f"g{number}",
            ingress=(make.allow(f"g{(number + 1) % GROUPS}", Protocol.TCP, 80), make.allow("10.0.3.0/24")),
            egress=(make.allow("0.0.0.0/0"),),
        )
        for number in range(GROUPS)
    )
    wide = replace(make.subnet(OWNER), cidr=IPv4Network("10.0.0.0/16"))
    everybody = (a_port(number) for number in range(ports))
    return make.project(make.vpc(OWNER), wide, *groups, make.snat(OWNER, "198.51.100.10"), *everybody)


def one_port_more(number: int) -> Changes:
    one = a_port(number)
    return {make.key_of(one): one}


def regrouped() -> Changes:
    one = replace(a_port(7), groups=("g8",))
    return {make.key_of(one): one}


def gone() -> Changes:
    return {make.key_of(a_port(50)): None}


def cost_s(standing: Standing, changes: Changes) -> float:
    began = time.perf_counter()
    with standing.trial(changes) as trial:
        assert not diff_of(trial).is_empty
    return time.perf_counter() - began


def a_test(must: Must, source: str, destination: str) -> ReachTest:
    return ReachTest(OWNER, "t", must, parse_end(source), parse_end(destination), Protocol.TCP, PortRange(80, 80), 0)


TESTS = (
    a_test(Must.REACH, "group:g8", "group:g7"),
    a_test(Must.NOT_REACH, "group:g1", "group:g7"),
    a_test(Must.NOT_REACH, "internet", "subnet:default"),
    a_test(Must.NOT_REACH, "10.0.3.0/24", "internet"),
)


def check_s(standing: Standing, own: ProjectIntent, changes: Changes) -> float:
    began = time.perf_counter()
    with standing.trial(changes) as trial:
        for test in TESTS:
            broken_by(trial, own, test)
    return time.perf_counter() - began


@pytest.mark.parametrize("change", ["came", "regrouped", "gone"])
def test_the_cost_of_holding_a_change_against_tests_is_flat_too(change: str) -> None:
    small_project, large_project = project(100), project(10_000)
    few, many = Standing(small_project), Standing(large_project)
    made = {"came": one_port_more(10_001), "regrouped": regrouped(), "gone": gone()}[change]
    times = [(check_s(few, small_project, made), check_s(many, large_project, made)) for _ in range(ROUNDS)]
    # What else the machine does only adds.
    small, large = (min(column) for column in zip(*times, strict=True))
    assert large < FLAT * small, f"{small * 1e6:.0f} µs among 100 ports, {large * 1e6:.0f} µs among 10,000"


@pytest.mark.parametrize("change", ["came", "regrouped", "gone"])
def test_the_cost_of_a_trial_is_flat_from_100_to_10000_ports(change: str) -> None:
    few, many = Standing(project(100)), Standing(project(10_000))
    made = {"came": one_port_more(10_001), "regrouped": regrouped(), "gone": gone()}[change]
    times = [(cost_s(few, made), cost_s(many, made)) for _ in range(ROUNDS)]
    # What else the machine does only adds.
    small, large = (min(column) for column in zip(*times, strict=True))
    assert large < FLAT * small, f"{small * 1e6:.0f} µs among 100 ports, {large * 1e6:.0f} µs among 10,000"
