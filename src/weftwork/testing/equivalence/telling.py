"""Which cases can tell a fault: those with a packet that a right and a wrong reading of the intent judge otherwise."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from weftwork.model.intent import Intent
from weftwork.testing.equivalence.cases import Case, draw_case
from weftwork.testing.equivalence.shots import Shot
from weftwork.verifier.model import Model
from weftwork.verifier.packet import Probe, Verdict

Reading = Callable[[Intent], Model]


def telling(seeds: Iterable[int], right: Reading, wrong: Reading) -> Iterator[int]:
    """Their seeds. Pure, so that a fault that shows only in a corner need not be looked for with packets."""
    return (seed for seed in seeds if _tells(draw_case(seed), right, wrong))


def _tells(case: Case, right: Reading, wrong: Reading) -> bool:
    for intent, shots in ((case.before, case.shots), (case.after, case.later)):
        if intent is not None and shots:
            one, other = right(intent), wrong(intent)
            if any(_differ(one.verdict(probe), other.verdict(probe)) for shot in shots for probe in _asked(shot)):
                return True
    return False


def _asked(shot: Shot) -> Iterator[Probe]:
    """The packet, and what could come back."""
    yield from (replace(shot.probe, phase=phase) for phase in (shot.probe.phase, *shot.answers))


def _differ(one: Verdict, other: Verdict) -> bool:
    return (one.receiver, one.seen) != (other.receiver, other.seen)
