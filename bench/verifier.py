"""What the reference model costs: all pairs of a large project by classes, against asking pair by pair; and one change.

`python bench/verifier.py [PORTS [GROUPS]]`. Asking pair by pair would take hours, so it is measured on a sample.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from random import Random

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.model.subnet import Subnet
from weftwork.testing import strategies as make
from weftwork.verifier.model import Model
from weftwork.verifier.packet import TCP, Inside, Probe
from weftwork.verifier.reach_index import ReachIndex, reach

OWNER = ProjectKey("bench", "large")
ROUNDS = 5
SAMPLE = 5_000
CHANGES = 1_000
MUST_RATIO, MUST_P99_S = 0.05, 0.010


def large_project(random: Random, ports: int, groups: int) -> ProjectIntent:
    """Each group lets two others and a part of the VPC in; each port has one group, every fifth a second one."""
    names = [f"g{number:03}" for number in range(groups)]
    subnet = replace(make.subnet(OWNER), cidr=IPv4Network("10.0.0.0/16"), gateway=IPv4Address("10.0.0.1"))
    return make.project(
        make.vpc(OWNER),
        subnet,
        *(
            make.group(OWNER, name, ingress=some_rules(random, names), egress=(make.allow("0.0.0.0/0"),))
            for name in names
        ),
        *(a_port(random, number, subnet, names) for number in range(ports)),
    )


def a_port(random: Random, number: int, subnet: Subnet, names: list[str]) -> Port:
    groups = {names[number % len(names)]} | ({random.choice(names)} if number % 5 == 0 else set())
    address = IPv4Address("10.0.0.10") + number
    return replace(make.port(OWNER, number, groups=tuple(sorted(groups))), subnet=subnet.name, addresses=(address,))


def some_rules(random: Random, names: list[str]) -> tuple[Rule, ...]:
    peers = [GroupRef(random.choice(names)), GroupRef(random.choice(names))]
    low = random.choice((80, 443, 5000))
    inside = IPv4Network(f"10.0.{random.randrange(40)}.0/24")
    return (
        *(Rule(Protocol.TCP, PortRange(low, low + random.choice((0, 10))), peer) for peer in peers),
        Rule(Protocol.TCP, PortRange(22, 22), inside),
    )


def seconds(call: Callable[[], object]) -> float:
    gc.collect()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def pair_by_pair_s(random: Random, own: ProjectIntent) -> float:
    """One question per ordered pair, scaled from a sample."""
    model, ports = Model({OWNER: own}), list(own.ports.values())
    pairs = [random.sample(ports, 2) for _ in range(SAMPLE)]

    def ask() -> None:
        for a, b in pairs:
            destination = b.addresses[0]
            assert isinstance(destination, IPv4Address)
            model.verdict(Probe(Inside(OWNER, a.id), destination, TCP, 40000, 443))

    return seconds(ask) / SAMPLE * len(ports) * (len(ports) - 1)


def passing(own: ProjectIntent) -> int:
    """How many pairs of classes something passes: every one is named."""
    return sum(1 for _ in reach(own).passing())


def changes_s(random: Random, own: ProjectIntent) -> list[float]:
    """A rule more or less, a port in other groups, a port more or less; each brought into the index."""
    index, names = ReachIndex(own), list(own.groups)
    times = []
    for number in range(CHANGES):
        match number % 3:
            case 0:
                group = own.groups[random.choice(names)]
                changed = replace(group, ingress=(*group.ingress[1:], *some_rules(random, names)[:1]))
                make.put(own, changed)
                key = make.key_of(changed)
            case 1:
                port = random.choice(list(own.ports.values()))
                moved = replace(port, groups=tuple(sorted(random.sample(names, 2))))
                make.put(own, moved)
                key = make.key_of(moved)
            case _:
                port = random.choice(list(own.ports.values()))
                key = make.key_of(port)
                make.remove(own, key)
        times.append(seconds_alone(partial(index.update, [key])))
    return times


def seconds_alone(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(ports: int = 10_000, groups: int = 500) -> int:
    random = Random(1)
    own = large_project(random, ports, groups)
    print(f"{ports} ports, {groups} groups, {len(reach(own).members)} classes, {passing(own)} pairs of classes reach")
    ratios = []
    for _ in range(ROUNDS):
        by_classes, by_pairs = seconds(lambda: passing(own)), pair_by_pair_s(random, own)
        ratios.append(by_classes / by_pairs)
        print(f"all pairs: {by_classes:.2f} s by classes, {by_pairs:.0f} s pair by pair, {ratios[-1]:.5f}")
    times = sorted(changes_s(random, own))
    p99 = times[len(times) * 99 // 100]
    middle, most = statistics.median(times) * 1e3, times[-1] * 1e3
    print(f"one change: {middle:.2f} ms median, {p99 * 1e3:.2f} ms p99, {most:.2f} ms at most")
    ratio = statistics.median(ratios)
    met = ratio <= MUST_RATIO and p99 <= MUST_P99_S
    print(f"must: ratio <= {MUST_RATIO} ({ratio:.5f}), p99 <= {MUST_P99_S * 1e3:.0f} ms: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
