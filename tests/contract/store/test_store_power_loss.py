"""What survives power loss: everything acknowledged, whatever the disk made of what was not synced."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_disk import CALLS, Call, SimulatedDisk, calls
from store_kinds import Place
from test_store_crash import KEEP_REVISIONS, WRITERS_PROGRAM, Acknowledged, check

MOMENTS = 60
ACKNOWLEDGED_MIN = 600
LOG_PAGES = 60
"""A checkpoint every few commits, so that many fall into one."""
SMALL_LOG = f"""
import runpy, sys
from weftwork.store.sqlite import file
file._WAL_PAGES = {LOG_PAGES}
sys.argv = sys.argv[1:]
sys.path.insert(0, {str(WRITERS_PROGRAM.parent)!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def traced_writers(folder: Path, trace: Path) -> None:
    """Sixteen writers on a store that is made first, until they have had enough commits acknowledged."""
    tracing = ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", f"trace={CALLS}", "-o", str(trace)]
    writing = [
        sys.executable,
        "-c",
        SMALL_LOG,
        str(WRITERS_PROGRAM),
        Place("sqlite", path=str(folder)).text(),
        str(KEEP_REVISIONS),
    ]
    with subprocess.Popen([*tracing, *writing], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            for _ in range(ACKNOWLEDGED_MIN):
                process.stdout.readline()
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def acknowledgement(call: Call) -> Acknowledged:
    if call.name == "write" and call.data[:1].isdigit():
        revision, writer, number = map(int, call.data.split())
        return {(writer, number): revision}
    return {}


@pytest.mark.slow
def test_no_acknowledged_commit_is_lost_when_the_power_fails(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"replay with seed {seed}")
    chance = random.Random(seed)
    folder, trace = tmp_path / "store", tmp_path / "trace"
    traced_writers(folder, trace)
    history = list(calls(trace))
    assert len(history) > ACKNOWLEDGED_MIN, "strace has seen too little"
    moments = {*chance.sample(range(len(history)), MOMENTS), *range(0, 60, 3)}

    disk = SimulatedDisk(folder)
    acknowledged: Acknowledged = {}
    checked = 0
    for number, call in enumerate(history):
        disk.take(call)
        acknowledged |= acknowledgement(call)
        if number in moments:
            after = tmp_path / f"after{number}"
            after.mkdir()
            for name, content in disk.after_power_loss(chance).items():
                (after / name).write_bytes(content)
            asyncio.run(check(Place("sqlite", path=str(after)), acknowledged))
            checked += 1
    print(f"{checked} power losses, up to {len(acknowledged)} commits acknowledged before, none lost")
    assert len(acknowledged) >= ACKNOWLEDGED_MIN // 2
