"""The long run: `python -m weftwork.testing.faults [FAULTS [PROGRAMS [FIRST_SEED [linux|fleet|ovn|all]]]]`."""

import sys
import time
from collections.abc import Callable, Iterator

from weftwork.testing.faults import on_fleet, on_ovn, run
from weftwork.testing.faults.tally import Faults

PLANES: dict[str, tuple[Callable[[int, int], Faults], Callable[[int, int], Iterator[str]]]] = {
    "linux": (run.seed_faults, run.false_alarms),
    "fleet": (on_fleet.seed_faults, on_fleet.false_alarms),
    "ovn": (on_ovn.seed_faults, on_ovn.false_alarms),
}


def main(faults: int, programs: int, seed: int, plane: str = "all") -> int:
    planes = PLANES if plane == "all" else {plane: PLANES[plane]}
    return max(_on(name, faults, programs, seed) for name in planes)


def _on(plane: str, faults: int, programs: int, seed: int) -> int:
    seed_faults, false_alarms = PLANES[plane]
    started = time.monotonic()
    tally = seed_faults(faults, seed)
    print(
        f"{plane}: {tally.seeded.total()} faults of {len(tally.seeded)} kinds: {tally.found} found, {tally.alarms} of "
        f"them as a way between tenants, {tally.proven} with a packet that the program and the intent judge "
        f"differently; {tally.hidden} change nothing; {len(tally.missed)} missed; {time.monotonic() - started:.0f} s",
        flush=True,
    )
    print(*tally.missed, sep="\n", end="\n" if tally.missed else "")
    started = time.monotonic()
    alarms = list(false_alarms(programs, seed))
    print(f"{plane}: {programs} right programs: {len(alarms)} false alarms; {time.monotonic() - started:.0f} s")
    print(*alarms[:20], sep="\n", end="\n" if alarms else "")
    return 1 if tally.missed or alarms else 0


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:4]]
    faults, programs, seed = numbers + [500, 1000, 0][len(numbers) :]
    sys.exit(main(faults, programs, seed, *sys.argv[4:5]))
