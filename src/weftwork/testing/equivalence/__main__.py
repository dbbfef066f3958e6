"""The long run, in a network of its own: `python -m weftwork.testing.equivalence [CASES [SEED [linux|ovn|both]]]`."""

import sys
import time

from weftwork.testing.equivalence.linux_plane import LinuxPlane
from weftwork.testing.equivalence.ovn_plane import OvnPlane
from weftwork.testing.equivalence.run import Tally, run_cases

_EVERY = 200
_PLANES = {"linux": (LinuxPlane,), "ovn": (OvnPlane,), "both": (LinuxPlane, OvnPlane)}


def main(cases: int, first_seed: int, planes: str) -> int:
    print(f"{cases} cases from seed {first_seed}", flush=True)
    return max(_run(plane, range(first_seed, first_seed + cases)) for plane in _PLANES[planes])


def _run(make_plane: type[LinuxPlane] | type[OvnPlane], seeds: range) -> int:
    started = time.monotonic()

    def tell(tally: Tally) -> None:
        if tally.cases % _EVERY == 0:
            print(_words(plane.name, tally, time.monotonic() - started), flush=True)

    with make_plane() as plane:
        tally = run_cases(plane, seeds, tell=tell)
    print(_words(plane.name, tally, time.monotonic() - started), flush=True)
    if tally.disagreement:
        print(f"\n{tally.disagreement}", flush=True)
    return 1 if tally.disagreement else 0


def _words(plane: str, tally: Tally, elapsed_s: float) -> str:
    found = "1 disagreement" if tally.disagreement else "no disagreement"
    judged = f"{tally.packets} packets judged ({tally.delivered} delivered)"
    return f"{plane}: {tally.cases} cases, {judged}, {found}, {elapsed_s:.0f} s{_second_opinion(tally)}"


def _second_opinion(tally: Tally) -> str:
    if not tally.compared:
        return ""
    untold = "".join(f"\n    not of {number}: {why.value}" for why, number in tally.untold.items())
    return f"\n    a second opinion of {tally.compared} of them{untold}"


if __name__ == "__main__":
    cases, seed, planes = (*sys.argv[1:], *("1000", str(int(time.time())), "both")[len(sys.argv) - 1 :])
    sys.exit(main(int(cases), int(seed), planes))
