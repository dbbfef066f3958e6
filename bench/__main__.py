"""`python -m bench [ROW ...]`: measure, print a table, write `bench/results/<time>.json`. Needs root."""

import argparse
import compileall
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure, table
from bench.rows import ROWS
from bench.run import Run, conditions

HERE = Path(__file__).parent
APART = HERE.parent / "tools" / "private_network.py"
_MARK = "WEFT_BENCH_APART"


def main(arguments: Sequence[str]) -> int:
    """0 when no figure missed its `must`."""
    options = _parsed(arguments)
    if options.list:
        print("\n".join(f"{name:16}{row.what}" for name, row in ROWS.items()))
        return 0
    if _MARK not in os.environ:
        _compile_as_installed()
        _move_apart(arguments)
    with tempfile.TemporaryDirectory(prefix="weft-bench-", dir=options.directory) as folder:
        run = Run(Path(folder), options.rounds, options.quick, options.seed)
        around = conditions(run)
        print(*(f"{name}: {value}" for name, value in around.items()), sep="\n")
        figures = [figure for name in options.rows or ROWS for figure in _measured(name, run)]
        around["load_average_after"] = os.getloadavg()
    print("\n" + table(figures))
    told = _write(options.results, around, figures)
    print(f"\nload average afterwards: {around['load_average_after']}; written: {told}")
    return int(any(figure.verdict == "MISSED" for figure in figures))


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--list", action="store_true", help="what there is to measure")
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure (5)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chosen at random (1)")
    parser.add_argument("--quick", action="store_true", help="small and short, only to see that it works")
    parser.add_argument(
        "--directory", type=Path, help="on the disk to measure (the system's folder for temporary files)"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the JSON")
    return parser.parse_args(arguments)


def _compile_as_installed() -> None:
    """A user's modules were compiled when they were installed; those of a checkout may never be, and processes start
    in some rows."""
    compileall.compile_dir(HERE.parent / "src", quiet=1)


def _move_apart(arguments: Sequence[str]) -> None:
    """Become a process in a network of its own: nothing here touches the machine's."""
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces")
    environment = {**os.environ, _MARK: "1"}
    os.execve(sys.executable, [sys.executable, str(APART), sys.executable, "-m", "bench", *arguments], environment)


def _measured(name: str, run: Run) -> list[Figure]:
    began = time.monotonic()
    print(f"\n== {name}: {ROWS[name].what}", flush=True)
    figures = ROWS[name].measure(run)
    print(table(figures) + f"\n({time.monotonic() - began:.0f} s)", flush=True)
    return figures


def _write(folder: Path, around: dict[str, object], figures: Sequence[Figure]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("%Y%m%d-%H%M%S.json")
    content = {"conditions": around, "figures": [figure.summary for figure in figures]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
