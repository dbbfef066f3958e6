"""What an explanation costs in a large project, as a ratio: machines differ."""

import statistics
from functools import partial
from random import Random

from bench.verifier import OWNER, large_project, seconds
from weftwork.verifier.explain import explain
from weftwork.verifier.packet import TCP, Inside
from weftwork.verifier.question import Question
from weftwork.verifier.reach_index import reach
from weftwork.verifier.trial import Standing

QUESTIONS = 9
MUST_RATIO = 3.0
"""To reading the whole project once, which takes about a quarter of a second."""


def test_an_explanation_with_changes_costs_about_what_one_look_at_the_project_does() -> None:
    random = Random(1)
    own = large_project(random, ports=10_000, groups=500)
    standing = Standing(own)
    whole_s = statistics.median(seconds(partial(reach, own)) for _ in range(3))
    times = []
    for _ in range(QUESTIONS):
        source, destination = random.sample(list(own.ports), 2)
        question = Question(OWNER, Inside(OWNER, source), Inside(OWNER, destination), TCP, 443)
        times.append(seconds(lambda question=question: explain({OWNER: own}, question, standing=lambda: standing)))  # type: ignore[misc]

    ratio = statistics.median(times) / whole_s
    print(f"explain: {statistics.median(times):.3f} s, the whole project {whole_s:.3f} s, ratio {ratio:.2f}")
    assert ratio <= MUST_RATIO
