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
    command = [sys.executable, WRITERS_PROGRAM, place.text(), str(KEEP_REVISIONS)]
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
    """Revisions of the history that is kept; before them, the one compacted."""
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
    return [after, *told]


async def check(place: Place, acknowledged: Acknowledged) -> int:
    """How many transactions are there, each of them whole."""
    store = await place.open(keep_revisions=KEEP_REVISIONS)
    pairs: dict[str, dict[tuple[int, ...], int]] = {"a": {}, "b": {}, "counter": {}}
    values: dict[int, int] = {}
    # One snapshot: at a server of its own, what was sent by those killed may still arrive.
    for record in (await store.range("")).records:
        side, *rest = record.key.split("/")
        pairs[side][tuple(map(int, rest))] = record.revision
        if side == "counter":
            values[int(rest[0])] = int(record.value)
    revisions = sorted(pairs["a"].values())

    assert pairs["a"] == pairs["b"], "half a transaction"
    assert acknowledged.items() <= pairs["a"].items(), "an acknowledged commit is lost"
    assert len(set(revisions)) == len(revisions), "two commits have one revision"
    if place.is_dense:
        assert revisions == list(range(1, len(revisions) + 1)), "revisions have a gap"
    for (writer,), revision in pairs["counter"].items():
        assert pairs["a"][writer, values[writer]] == revision
        assert all((writer, earlier) in pairs["a"] for earlier in range(1, values[writer]))
    assert len(pairs["a"]) == sum(values.values())
    if revisions:
        compacted, *told = await asyncio.wait_for(revisions_told(store, revisions[-1]), 60)
        assert told == [revision for revision in revisions if revision > compacted], "history has a gap"
    await store.close()
    return len(revisions)


@pytest.mark.slow
def test_no_acknowledged_commit_is_lost_and_none_is_half_when_the_process_is_killed(own_place: Place) -> None:
    seed = random.randrange(2**32)
    print(f"replay with seed {seed}")
    chance = random.Random(seed)
    acknowledged: Acknowledged = {}
    there = 0
    place, rounds = own_place, 5 if own_place.is_shared else ROUNDS
    for _ in range(rounds):
        # One line is "opening": that round is killed while the file is made or recovered.
        told = run_until_killed(place, lines=chance.choice([1, 2, chance.randrange(3, 40), chance.randrange(40, 1500)]))
        acknowledged |= told
        before, there = there, asyncio.run(check(place, acknowledged))
        assert there >= before + len(told)
    print(f"{place.kind}: {rounds} kills, {len(acknowledged)} acknowledged, {there} found")
    assert acknowledged
