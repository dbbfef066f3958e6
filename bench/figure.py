"""A figure: what we measured, what the peer did in the same rounds, and the bounds that the ratio is held to."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """Samples of the same rounds side by side, in `unit`. The ratio is the median of ours / the peer's, round by round.

    Without a peer the figure is the largest of our samples, held to the bounds itself. Without bounds it is told and
    not judged. `at_least` says on which side of the bounds the ratio has to be. Samples that are not `paired` have no
    rounds in common: then it is the ratio of the medians.
    """

    name: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    against: str = ""
    must: float | None = None
    aim: float | None = None
    at_least: bool = False
    paired: bool = True

    def __post_init__(self) -> None:
        assert self.ours, f"{self.name}: nothing was measured"
        whole = not self.peer or not self.paired or len(self.peer) == len(self.ours)
        assert whole, f"{self.name}: a round lacks its peer"

    @property
    def ratio(self) -> float:
        if not self.peer:
            return max(self.ours)
        if not self.paired:
            return statistics.median(self.ours) / statistics.median(self.peer)
        return statistics.median(mine / theirs for mine, theirs in zip(self.ours, self.peer, strict=True))

    @property
    def verdict(self) -> str:
        """`aim`, `must`, `MISSED`, or nothing where there is no bound."""
        if self.must is None:
            return ""
        if self.aim is not None and self._meets(self.aim):
            return "aim"
        return "must" if self._meets(self.must) else "MISSED"

    def _meets(self, bound: float) -> bool:
        return self.ratio >= bound if self.at_least else self.ratio <= bound

    @property
    def summary(self) -> dict[str, object]:
        """For JSON."""
        return {
            "figure": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "against": self.against,
            "ratio": self.ratio,
            "must": self.must,
            "aim": self.aim,
            "at_least": self.at_least,
            "verdict": self.verdict,
        }


def interleaved(
    rounds: int, ours: Callable[[], float], peer: Callable[[], float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Samples of both, A B B A A B …: what slows the machine down for a while slows both."""
    mine: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        pair = ((ours, mine), (peer, theirs))
        for measure, samples in pair if number % 2 == 0 else reversed(pair):
            samples.append(measure())
    return tuple(mine), tuple(theirs)


_HEADINGS = ("figure", "ours", "peer", "unit", "ratio", "must", "aim", "verdict", "against")


def table(figures: Sequence[Figure]) -> str:
    """Medians of ours and the peer's, and the ratio with its bounds."""
    lines = [_HEADINGS, *map(_line, figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _line(one: Figure) -> tuple[str, ...]:
    sign = "≥" if one.at_least else "≤"
    return (
        one.name,
        _number(statistics.median(one.ours)),
        _number(statistics.median(one.peer)) if one.peer else "–",
        one.unit,
        f"{one.ratio:.3g}" if one.peer else f"{_number(one.ratio)} at most",
        "–" if one.must is None else f"{sign} {one.must:g}",
        "–" if one.aim is None else f"{sign} {one.aim:g}",
        one.verdict or "–",
        one.against or "–",
    )


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
