"""What the judge of programs costs: one changed port among many, p99 against the bound. In time of the processor.

`python bench/judge.py [PORTS [GROUPS [linux|ovn]]]`.
"""

import gc
import statistics
import sys
import time
from dataclasses import replace
from functools import partial
from random import Random

from bench.verifier import OWNER, large_project
from weftwork.compiler.assembly import Assembly, Delta
from weftwork.compiler.linux.slices import compile_slice as compile_for_linux
from weftwork.compiler.ovn.slices import compile_slice as compile_for_ovn
from weftwork.compiler.settings import HostProfile, OvnProfile
from weftwork.compiler.slices import Compile, affected_by, slices_of
from weftwork.controller.judging import VerifierJudge, linux_judge
from weftwork.controller.judging_ovn import ovn_judge
from weftwork.model.keys import ThingKey
from weftwork.testing import strategies as make

CHANGES = 400
MUST_P99_S = 0.010


def plane_of(name: str) -> tuple[Compile, VerifierJudge]:
    external = make.EXTERNAL
    if name == "ovn":
        profile = OvnProfile(external=external, gateway_chassis=("chassis",))
        return partial(compile_for_ovn, profile=profile), ovn_judge(external.gateway, external.cidrs)
    host = HostProfile(external=external)
    return partial(compile_for_linux, profile=host), linux_judge(external.gateway, external.cidrs)


def main(ports: int, groups: int, plane: str = "linux") -> int:
    random = Random(1)
    project = large_project(random, ports, groups)
    intent = {OWNER: project}
    compile_slice, judge = plane_of(plane)
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one) for one in slices_of(intent)})
    started = time.thread_time()
    whole = Delta(assembly.program(), frozenset())
    assert not judge.judge(whole, intent)
    judge.published(whole)
    print(
        f"{plane}: {ports} ports, {groups} groups: the whole program is judged in {time.thread_time() - started:.2f} s"
    )
    # What stays for good need not be looked through at every collection.
    gc.collect()
    gc.freeze()
    took: list[float] = []
    names, ids = sorted(project.groups), sorted(project.ports)
    for _ in range(CHANGES):
        port = replace(project.ports[random.choice(ids)], groups=tuple(sorted(random.sample(names, 2))))
        project.ports[port.id] = port
        slices = affected_by(ThingKey("port", OWNER, port.id), intent)
        delta = assembly.replace_slices({one: compile_slice(intent, one) for one in slices})
        started = time.thread_time()
        violations = judge.judge(delta, intent)
        judge.published(delta)
        took.append(time.thread_time() - started)
        assert not violations, violations
    p99 = statistics.quantiles(took, n=100)[98]
    verdict = "ok" if p99 <= MUST_P99_S else "MISSED"
    print(
        f"one changed port: p50 {1e3 * statistics.median(took):.2f} ms, p99 {1e3 * p99:.2f} ms "
        f"(must be at most {1e3 * MUST_P99_S:.0f} ms): {verdict}"
    )
    return 0 if p99 <= MUST_P99_S else 1


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:3]]
    ports, groups = numbers + [10_000, 500][len(numbers) :]
    sys.exit(main(ports, groups, *sys.argv[3:4]))
