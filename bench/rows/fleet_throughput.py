"""TCP and round trips between guests on two hosts, beside VXLAN by hand between namespaces of the same hosts."""

import statistics

from bench.echo import Echo
from bench.figure import Figure, interleaved
from bench.lab import FAR_NAMES, NEXT_NAMES, Place, by_hand, lab, netns_of, place_of
from bench.rows.throughput import gigabits_per_s
from bench.run import Run

AGAINST = "VXLAN by hand, no rules"
PINGS = 400


def measure(run: Run) -> list[Figure]:
    with lab(run.fresh_folder("lab"), 3) as fleet:
        near, far = (place_of(fleet, name) for name in FAR_NAMES)
        routed = place_of(fleet, NEXT_NAMES[1])
        with by_hand(fleet, ("h1", "h3")) as hand:
            figures = [
                _throughput(run, "TCP across hosts", (near, far), hand),
                *_round_trips(run, "hosts", (near, far), hand),
            ]
        with by_hand(fleet, ("h1", "h2")) as hand:
            return [
                *figures,
                _throughput(run, "TCP across hosts and subnets", (near, routed), hand, is_held=False),
                *_round_trips(run, "hosts and subnets", (near, routed), hand, is_held=False),
            ]


def _throughput(
    run: Run, name: str, mine: tuple[Place, Place], hand: tuple[Place, Place], *, is_held: bool = True
) -> Figure:
    ours, peer = interleaved(run.rounds * run.size(3, 1), lambda: gigabits_per_s(*mine), lambda: gigabits_per_s(*hand))
    must, aim = (0.90, 0.95) if is_held else (None, None)
    return Figure(name, "Gbit/s", ours, peer, AGAINST, must=must, aim=aim, at_least=True)


def _round_trips(
    run: Run, name: str, mine: tuple[Place, Place], hand: tuple[Place, Place], *, is_held: bool = True
) -> list[Figure]:
    """As `ping` tells it, and in the kernel alone: without the reader's waking up, which is most of it."""
    pings = run.size(PINGS, 20)
    told = interleaved(run.rounds * 3, lambda: _ping_us(*mine, pings), lambda: _ping_us(*hand, pings))
    spun = interleaved(run.rounds * 3, lambda: _median_us(*mine, pings), lambda: _median_us(*hand, pings))
    must, aim = (1.10, 1.05) if is_held else (None, None)
    return [
        Figure(f"round trip across {name}", "µs", *told, AGAINST, must=must, aim=aim),
        Figure(f"round trip across {name}, in the kernel", "µs", *spun, AGAINST),
    ]


def _ping_us(source: Place, target: Place, pings: int) -> float:
    """The mean."""
    said = source.run("ping", "-n", "-q", "-i", "0.002", "-c", str(pings), target.address)
    return float(said.rpartition("= ")[2].split("/")[1]) * 1e3


def _median_us(source: Place, target: Place, pings: int) -> float:
    echo = Echo(netns_of(source), target.address)
    try:
        return statistics.median(echo.round_trip_us(7) for _ in range(pings))
    finally:
        echo.close()
