"""What the judge of programs costs: one changed port among many, p99 against the bound. In time of the processor.

`python bench/judge.py [PORTS [GROUPS]]`.
"""

import gc
import statistics
import sys
import time
from dataclasses import replace
from random import Random

from bench.verifier import OWNER, large_project
from weftwork.compiler.assembly import Assembly, Delta
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import affected_by, slices_of
from weftwork.model.keys import ThingKey
from weftwork.testing import strategies as make
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.view import ProgramView

CHANGES = 400
MUST_P99_S = 0.010


def main(ports: int, groups: int) -> int:
    random = Random(1)
    project = large_project(random, ports, groups)
    intent = {OWNER: project}
    profile = HostProfile(external=make.EXTERNAL)
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices_of(intent)})
    started = time.thread_time()
    view = ProgramView(gateway=make.EXTERNAL.gateway, networks=make.EXTERNAL.cidrs)
    whole = Delta(assembly.program(), frozenset())
    assert not judge(view, whole, intent)
    view.apply(added=whole.added)
    print(f"{ports} ports, {groups} groups: the whole program is judged in {time.thread_time() - started:.2f} s")
    # What stays for good need not be looked through at every collection.
    gc.collect()
    gc.freeze()
    took: list[float] = []
    names, ids = sorted(project.groups), sorted(project.ports)
    for _ in range(CHANGES):
        port = replace(project.ports[random.choice(ids)], groups=tuple(sorted(random.sample(names, 2))))
        project.ports[port.id] = port
        slices = affected_by(ThingKey("port", OWNER, port.id), intent)
        delta = assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices})
        started = time.thread_time()
        violations = judge(view, delta, intent)
        view.apply(added=delta.added, removed=delta.removed)
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
    numbers = [int(one) for one in sys.argv[1:]]
    sys.exit(main(*(numbers + [10_000, 500][len(numbers) :])))
