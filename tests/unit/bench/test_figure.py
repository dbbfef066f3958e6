"""What a ratio is, and how it is judged."""

import pytest

from bench.figure import Figure, interleaved, table


def figure(ours: tuple[float, ...], peer: tuple[float, ...] = (), **more: object) -> Figure:
    return Figure("some figure", "s", ours, peer, "a peer", **more)  # type: ignore[arg-type]


def test_the_ratio_is_the_median_of_the_rounds_so_one_bad_round_decides_nothing() -> None:
    assert figure((1, 2, 90), (2, 4, 10)).ratio == 0.5


def test_samples_without_rounds_in_common_are_compared_by_their_medians() -> None:
    assert figure((1, 4, 9), (1, 2), paired=False).ratio == 4 / 1.5


def test_without_a_peer_the_worst_sample_counts() -> None:
    assert figure((0, 0, 1), must=0, aim=0).verdict == "MISSED"


@pytest.mark.parametrize(
    ("ours", "at_least", "verdict"),
    [(1.0, True, "aim"), (0.7, True, "must"), (0.5, True, "MISSED"), (0.6, False, "must"), (1.0, False, "MISSED")],
)
def test_the_verdict_names_the_best_bound_that_is_kept(ours: float, at_least: bool, verdict: str) -> None:
    bounds = {"must": 0.6, "aim": 0.9} if at_least else {"must": 0.9, "aim": 0.5}
    assert figure((ours,), (1.0,), at_least=at_least, **bounds).verdict == verdict


def test_a_figure_without_bounds_is_not_judged() -> None:
    assert figure((5,), (1,)).verdict == ""


def test_rounds_alternate_who_goes_first() -> None:
    order: list[str] = []

    def measured(who: str) -> float:
        order.append(who)
        return len(order)

    assert interleaved(3, lambda: measured("ours"), lambda: measured("peer")) == ((1, 4, 5), (2, 3, 6))
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]


def test_the_table_tells_every_figure_with_its_verdict() -> None:
    told = table([figure((0.5,), (1.0,), must=1.5, aim=0.6), figure((3,), must=0, aim=0)])
    lines = told.splitlines()
    assert lines[0].split() == ["figure", "ours", "peer", "unit", "ratio", "must", "aim", "verdict", "against"]
    assert "≤ 1.5" in lines[1] and "aim" in lines[1]
    assert "MISSED" in lines[2]
