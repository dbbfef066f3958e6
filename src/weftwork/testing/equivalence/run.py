"""Many cases, one after the other; the first disagreement made small."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from weftwork.testing.equivalence.cases import Case, draw_case
from weftwork.testing.equivalence.judge import Disagreement, Plane, run_case
from weftwork.testing.equivalence.shrink import describe, shrink


@dataclass(slots=True)
class Tally:
    """`delivered` of the packets should have been, and were. `disagreement` is the text of the first one."""

    cases: int = 0
    packets: int = 0
    delivered: int = 0
    disagreement: str = ""
    smallest: Case | None = None


def run_cases(
    plane: Plane,
    seeds: Iterable[int],
    *,
    packets: int = 20,
    make_small: bool = True,
    tell: Callable[[Tally], None] | None = None,
) -> Tally:
    """Until all agree or one does not."""
    tally = Tally()
    for seed in seeds:
        case = draw_case(seed, packets=packets)
        outcome = run_case(plane, case)
        tally.cases += 1
        tally.packets += outcome.packets
        tally.delivered += outcome.delivered
        if outcome.disagreements:
            first = outcome.disagreements[0]
            tally.smallest, tally.disagreement = _small(plane, case, first) if make_small else (case, str(first))
            return tally
        if tell:
            tell(tally)
    return tally


def _small(plane: Plane, case: Case, first: Disagreement) -> tuple[Case, str]:
    smallest = shrink(case, lambda smaller: bool(run_case(plane, smaller).disagreements))
    again = run_case(plane, smallest).disagreements
    words = "" if again else "\n(seen once, and not when the same was sent again)"
    return smallest, describe(smallest, again[0] if again else first) + words
