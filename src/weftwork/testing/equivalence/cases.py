"""Random cases from a seed: an intent, what it is changed to, and packets that look for the corners of both."""

from dataclasses import dataclass, field
from random import Random

from weftwork.model.intent import Intent
from weftwork.testing.equivalence.intents import add_policies, change, draw_project, lend, make_half
from weftwork.testing.equivalence.revocations import flows, revoke
from weftwork.testing.equivalence.shots import Numbers, Shot, draw_shots
from weftwork.testing.equivalence.world import WORLDS


@dataclass(slots=True)
class Case:
    """`shots` are sent under `before`. Then the intent becomes `after`: flows go on, and `later` is sent."""

    seed: int
    before: Intent
    after: Intent | None
    shots: list[Shot]
    later: list[Shot] = field(default_factory=list)


def draw_case(seed: int, *, packets: int = 20) -> Case:
    """`packets` are sent under the first intent, half as many new ones under the second."""
    random = Random(seed)
    before = {owner: draw_project(random, owner) for owner in random.choice(WORLDS)}
    for _ in range(random.choice((2, 3, 4, 5, 6)) if len(before) > 2 else 1):
        make_half(random, before)
    add_policies(Random(seed), before)
    for _ in range(random.choice((0, 1, 2))):
        lend(random, before)
    after = {owner: own.copy() for owner, own in before.items()}
    for _ in range(random.randint(1, 4)):
        change(random, after)
    numbers = Numbers(random)
    shots = draw_shots(random, before, numbers, packets)
    aside = Random(f"{seed} revoked")
    shots += flows(aside, before, numbers)
    revoke(aside, before, after, shots)
    return Case(seed, before, after, shots, draw_shots(random, after, numbers, packets // 2))
