"""`python -m weftwork.testing.mutation [linux|ovn]`: put each fault in, run the suite, and write what was found.

Each fault has a process of its own, whose import system reads the faulty words instead of the right ones.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from weftwork.testing.mutation.mutants import LINUX, MUTANTS, OVN, Mutant

CASES_MAX = 150
_PATIENCE_S = 0.3
_TIMEOUT_S = 400.0
REPORT = Path("docs/reference/mutations.md")
_CAUGHT, _NOT_CAUGHT = 10, 0


class Faulty(SourceFileLoader):
    """Reads one module with the fault in it."""

    def __init__(self, mutant: Mutant, path: str) -> None:
        super().__init__(mutant.module, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = Path(path).read_text()
        assert source.count(self._mutant.old) == 1, f"{self._mutant.old!r} does not stand in {fullname} once"
        return self.source_to_code(source.replace(self._mutant.old, self._mutant.new).encode(), path)


class Saboteur(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        assert found is not None and found.origin is not None
        return importlib.util.spec_from_loader(fullname, Faulty(self._mutant, found.origin), origin=found.origin)


@dataclass(frozen=True, slots=True)
class Outcome:
    mutant: Mutant
    caught: bool
    how: str
    seconds: float


def run_one(number: int) -> int:
    """In the process of one fault: what is imported from here on is faulty."""
    mutant = MUTANTS[number]
    sys.meta_path.insert(0, Saboteur(mutant))
    from weftwork.testing.equivalence.linux_plane import LinuxPlane
    from weftwork.testing.equivalence.ovn_plane import OvnPlane
    from weftwork.testing.equivalence.run import run_cases

    with (LinuxPlane if mutant.plane == LINUX else OvnPlane)() as plane:
        plane.wire.patience_s = _PATIENCE_S
        try:
            tally = run_cases(plane, range(CASES_MAX), make_small=False, opinion_every=CASES_MAX)
        except AssertionError as error:
            print(f"the target refuses it, or carries nothing: {str(error)[:60]}")
            return _CAUGHT
        except (AttributeError, TypeError, ValueError) as error:
            print(f"it compiles nothing: {str(error)[:60]}")
            return _CAUGHT
    print(f"{tally.packets} packets")
    return _CAUGHT if tally.disagreement else _NOT_CAUGHT


def run_all(planes: Sequence[str]) -> list[Outcome]:
    outcomes = []
    for number, mutant in enumerate(MUTANTS):
        if mutant.plane in planes:
            started = time.monotonic()
            command = [sys.executable, "-m", "weftwork.testing.mutation", "--one", str(number)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
            assert done.returncode in (_CAUGHT, _NOT_CAUGHT), done.stderr
            how = done.stdout.strip().splitlines()[-1]
            outcome = Outcome(mutant, done.returncode == _CAUGHT, how, time.monotonic() - started)
            print(f"{'caught' if outcome.caught else 'MISSED'} {mutant.plane}: {mutant.means} ({how})", flush=True)
            outcomes.append(outcome)
    return outcomes


def report(outcomes: Sequence[Outcome]) -> str:
    caught = sum(one.caught for one in outcomes)
    lines = [
        "# Faults that the equivalence suite finds",
        "",
        f"Written by `make mutate`; do not edit. {len(outcomes)} faults were put into the compilers, one at a time;"
        f" {caught} are found within {CASES_MAX} cases.",
    ]
    for plane, title in ((LINUX, "Linux"), (OVN, "OVN")):
        ours = [one for one in outcomes if one.mutant.plane == plane]
        if ours:
            lines += ["", f"## {title}: {sum(one.caught for one in ours)} of {len(ours)}", ""]
            lines += ["| fault | where | found |", "|---|---|---|"]
            lines += [
                f"| {one.mutant.means} | `{one.mutant.module.removeprefix('weftwork.')}` | {_found(one)} |"
                for one in ours
            ]
    return "\n".join(lines) + "\n"


def _found(one: Outcome) -> str:
    if one.caught:
        return f"after {one.how}" if one.how.endswith("packets") else one.how
    return f"no: {one.mutant.why_not}" if one.mutant.why_not else f"**no**, in {one.how}"


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["--one"]:
        return run_one(int(arguments[1]))
    outcomes = run_all(arguments or (LINUX, OVN))
    if not arguments:
        REPORT.write_text(report(outcomes))
    missed = [one.mutant.means for one in outcomes if not one.caught and not one.mutant.why_not]
    print(
        f"{sum(one.caught for one in outcomes)} of {len(outcomes)} caught; missed without a reason: {missed or 'none'}"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
