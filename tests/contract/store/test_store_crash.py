"""What survives SIGKILL: everything acknowledged, nothing by halves."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from store_kinds import Place

from weftwork.seams.store import Compacted, Store

ROUNDS = 20
KEEP_REVISIONS = 500
"""Small, so that some are killed while history is trimmed."""
WRITERS_PROGRAM = Path(__file__).with_name("crash_writers.py")

Acknowledged = dict[tuple[int, int], int]
"""(writer, number) → revision."""


def run_until_killed(place: Place, lines: int) -> Acknowledged:
    """Kill the writers after so many lines; what they wrote into the pipe before that was acknowledged."""
    command = [sys.executable, WRITERS_PROGRAM, place.kind, place.path, str(KEEP_REVISIONS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writers:
        assert writers.stdout is not None
        head = [writers.stdout.readline() for _ in range(lines)]
        writers.kill()
        told = [*head, *writers.stdout]
    assert told[0] == b"opening\n", "the writers did not start"
    assert writers.returncode == -9, "the writers ended by themselves"
    acknowledged = [tuple(map(int, line.split())) for line in told[1:] if line.endswith(b"\n")]
    return {(writer, number): revision for revision, writer, number in acknowledged}


async def revisions_told(store: Store, until: int) -> list[int]:
    """Revisions of the history that is kept."""
    after = 0
    told: list[int] = []
    while not told or told[-1] < until:
        try:
            async for change in store.watch("", after=after):
                told.append(change.revision)
                if change.revision == until:
                    break
        except Compacted as compacted:
            after = compacted.revision
    assert told[0] == after + 1
    return told


async def check(place: Place, acknowledged: Acknowledged) -> int:
    """How many transactions are there, each of them whole."""
    store = await place.open(keep_revisions=KEEP_REVISIONS)
    pairs: dict[str, dict[tuple[int, ...], int]] = {}
    for side in "ab":
        found = await store.range(f"{side}/")
        pairs[side] = {tuple(map(int, record.key.split("/")[1:])): record.revision for record in found.records}
    counters = {int(r.key.split("/")[1]): (int(r.value), r.revision) for r in (await store.range("counter/")).records}
    newest = (await store.range("", limit=1)).revision

    assert pairs["a"] == pairs["b"], "half a transaction"
    assert acknowledged.items() <= pairs["a"].items(), "an acknowledged commit is lost"
    assert sorted(pairs["a"].values()) == list(range(1, newest + 1)), "revisions have a gap"
    for writer, (number, revision) in counters.items():
        assert pairs["a"][writer, number] == revision
        assert all((writer, earlier) in pairs["a"] for earlier in range(1, number))
    assert len(pairs["a"]) == sum(number for number, _ in counters.values())
    if newest:
        told = await asyncio.wait_for(revisions_told(store, newest), 60)
        assert told == list(range(told[0], newest + 1)), "history has a gap"
    await store.close()
    return newest


@pytest.mark.slow
def test_no_acknowledged_commit_is_lost_and_none_is_half_when_the_process_is_killed(place: Place) -> None:
    seed = random.randrange(2**32)
    print(f"replay with seed {seed}")
    chance = random.Random(seed)
    acknowledged: Acknowledged = {}
    there = 0
    for _ in range(ROUNDS):
        # One line is "opening": that round is killed while the file is made or recovered.
        told = run_until_killed(place, lines=chance.choice([1, 2, chance.randrange(3, 40), chance.randrange(40, 1500)]))
        acknowledged |= told
        before, there = there, asyncio.run(check(place, acknowledged))
        assert there >= before + len(told)
    print(f"{ROUNDS} kills, {len(acknowledged)} acknowledged, {there} found")
    assert acknowledged
