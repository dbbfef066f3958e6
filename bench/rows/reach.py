"""Who reaches whom among 10,000 ports: all pairs beside asking pair by pair, one change, and one change tried."""

import statistics
from dataclasses import replace
from random import Random

from bench.figure import Figure, interleaved
from bench.run import Run
from bench.verifier import OWNER, changes_s, large_project, pair_by_pair_s, passing, seconds, seconds_alone
from weftwork.model.intent import ProjectIntent
from weftwork.model.reach_test import Must, ReachTest, parse_end
from weftwork.model.security_group import PortRange, Protocol
from weftwork.testing import strategies as make
from weftwork.verifier.reach_tests import broken_by
from weftwork.verifier.trial import Changes, Standing, diff_of

PORTS, GROUPS = 10_000, 500
FEW_PORTS, FEW_GROUPS = 100, 20
TRIALS = 40


def measure(run: Run) -> list[Figure]:
    random = Random(run.seed)
    ports, groups = run.size(PORTS, 400), run.size(GROUPS, 40)
    own = large_project(random, ports, groups)
    everything = interleaved(run.rounds, lambda: seconds(lambda: passing(own)), lambda: pair_by_pair_s(random, own))
    few, many = (_Tried(_one_group_each(random, size)) for size in (FEW_PORTS, ports))
    return [
        Figure(f"all pairs of {ports:,} ports, {groups} groups", "s", *everything, "pair by pair", must=0.05),
        Figure(f"one change among {ports:,} ports, p99", "ms", (_p99_ms(random, own),), must=10.0),
        Figure(
            f"a change tried and held against 20 tests, {ports:,} ports",
            "ms",
            *interleaved(run.rounds, many.median_ms, few.median_ms),
            f"{FEW_PORTS} ports",
            must=2.0,
            aim=1.25,
        ),
    ]


def _one_group_each(random: Random, ports: int) -> ProjectIntent:
    """As many classes of ports, however many ports there are."""
    own = large_project(random, ports, FEW_GROUPS)
    for number, port in enumerate(list(own.ports.values())):
        make.put(own, replace(port, groups=(f"g{number % FEW_GROUPS:03}",)))
    return own


def _p99_ms(random: Random, own: ProjectIntent) -> float:
    times = sorted(changes_s(random, own))
    return times[len(times) * 99 // 100] * 1e3


class _Tried:
    """One port that changes its group, as a dry run in a project with reach tests tries it."""

    def __init__(self, own: ProjectIntent) -> None:
        self._own = own
        self._standing = Standing(own)
        moved = replace(next(iter(own.ports.values())), groups=("g007",))
        self._changes: Changes = {make.key_of(moved): moved}
        self._tests = [_test(number) for number in range(20)]

    def median_ms(self) -> float:
        return statistics.median(seconds_alone(self._try) for _ in range(TRIALS)) * 1e3

    def _try(self) -> None:
        with self._standing.trial(self._changes) as trial:
            diff_of(trial)
            for test in self._tests:
                broken_by(trial, self._own, test)


def _test(number: int) -> ReachTest:
    ends = parse_end(f"group:g{number:03}"), parse_end(f"group:g{(number + 1) % FEW_GROUPS:03}")
    return ReachTest(OWNER, f"t{number}", Must.NOT_REACH, *ends, Protocol.TCP, PortRange(443, 443), created_at=0)
