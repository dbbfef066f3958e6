"""The long run: `python -m weftwork.testing.faults [FAULTS [PROGRAMS [FIRST_SEED]]]`."""

import sys
import time

from weftwork.testing.faults.run import false_alarms, seed_faults


def main(faults: int, programs: int, seed: int) -> int:
    started = time.monotonic()
    tally = seed_faults(faults, seed)
    print(
        f"{tally.seeded.total()} faults of {len(tally.seeded)} kinds: {tally.found} found, {tally.proven} of them "
        f"with a packet that the program and the intent judge differently; {tally.hidden} change nothing; "
        f"{len(tally.missed)} missed; {time.monotonic() - started:.0f} s",
        flush=True,
    )
    print(*tally.missed, sep="\n", end="\n" if tally.missed else "")
    started = time.monotonic()
    alarms = list(false_alarms(programs, seed))
    print(f"{programs} right programs: {len(alarms)} false alarms; {time.monotonic() - started:.0f} s")
    print(*alarms[:20], sep="\n", end="\n" if alarms else "")
    return 1 if tally.missed or alarms else 0


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:]]
    sys.exit(main(*(numbers + [500, 1000, 0][len(numbers) :])))
