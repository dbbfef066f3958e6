"""The long run: `python -m weftwork.testing.equivalence [CASES [FIRST_SEED]]`, in a network of its own, as root."""

import sys
import time

from weftwork.testing.equivalence.linux_plane import LinuxPlane
from weftwork.testing.equivalence.run import Tally, run_cases

_EVERY = 200


def main(cases: int, first_seed: int) -> int:
    started = time.monotonic()

    def tell(tally: Tally) -> None:
        if tally.cases % _EVERY == 0:
            print(_words(tally, time.monotonic() - started), flush=True)

    print(f"{cases} cases from seed {first_seed}", flush=True)
    with LinuxPlane() as plane:
        tally = run_cases(plane, range(first_seed, first_seed + cases), tell=tell)
    print(_words(tally, time.monotonic() - started))
    if tally.disagreement:
        print(f"\n{tally.disagreement}")
    return 1 if tally.disagreement else 0


def _words(tally: Tally, elapsed_s: float) -> str:
    found = "1 disagreement" if tally.disagreement else "no disagreement"
    return (
        f"{tally.cases} cases, {tally.packets} packets judged ({tally.delivered} delivered), {found}, {elapsed_s:.0f} s"
    )


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:]]
    sys.exit(main(*(numbers + [1000, int(time.time())][len(numbers) :])))
