"""Many cases, one after the other; the first disagreement made small."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from weftwork.testing.equivalence.cases import Case, draw_case
from weftwork.testing.equivalence.judge import Disagreement, Plane, run_case
from weftwork.testing.equivalence.opinion import Untold
from weftwork.testing.equivalence.shrink import describe, shrink


@dataclass(slots=True)
class Tally:
    """`delivered` of the packets should have been, and were. `disagreement` is the text of the first one."""

    cases: int = 0
    intents: int = 0
    """A case has one, and most have another that the first is changed into."""
    packets: int = 0
    delivered: int = 0
    compared: int = 0
    """Packets of which there was a second opinion."""
    untold: Counter[Untold] = field(default_factory=Counter)
    disagreement: str = ""
    smallest: Case | None = None


def run_cases(
    plane: Plane,
    seeds: Iterable[int],
    *,
    packets: int = 20,
    make_small: bool = True,
    opinion_every: int = 1,
    tell: Callable[[Tally], None] | None = None,
) -> Tally:
    """Until all agree or one does not. One of `opinion_every` cases has a second opinion, where there is one at all."""
    tally = Tally()
    for seed in seeds:
        case = draw_case(seed, packets=packets)
        outcome = run_case(plane, case, second_opinion=seed % opinion_every == 0)
        tally.cases += 1
        tally.intents += 1 if case.after is None else 2
        tally.packets += outcome.packets
        tally.delivered += outcome.delivered
        tally.compared += outcome.compared
        tally.untold += outcome.untold
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
