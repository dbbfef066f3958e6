"""Every row of the benchmarks runs, small and short; what it measures then means nothing and is not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rows import ROWS

ROOT = Path(__file__).parents[3]
LIMIT_S = 240


@pytest.mark.parametrize("row", ROWS)
def test_a_row_measures_both_sides(row: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", row, "--quick", "--rounds", "1", "--results", str(tmp_path)]
    path = os.pathsep.join((str(ROOT), str(ROOT / "src")))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_BENCH")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode in (0, 1), f"{done.stdout}\n{done.stderr}"
    (file,) = tmp_path.glob("*.json")
    told = json.loads(file.read_text())
    assert {"kernel", "cores", "load_average", "seed", "commit"} <= told["conditions"].keys()
    assert told["figures"]
    for figure in told["figures"]:
        assert all(value >= 0 for value in (*figure["ours"], *figure["peer"]))
        assert (figure["must"] is None) == (figure["verdict"] == "")
