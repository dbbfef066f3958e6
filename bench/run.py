"""What every row is given: how much to do, where, and from which seed; and the machine it happens on."""

import os
import platform
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """`quick` is only to see that the harness works: its figures mean nothing. `folder` is on the disk to measure."""

    folder: Path
    rounds: int = 5
    quick: bool = False
    seed: int = 1

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def seconds(self, full: float) -> float:
        return min(full, 0.2) if self.quick else full

    def dice(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{purpose}")

    def fresh_folder(self, name: str) -> Path:
        """A new folder for each call."""
        numbers = (f"{name}-{number}" for number in range(1 << 20))
        folder = next(self.folder / one for one in numbers if not (self.folder / one).exists())
        folder.mkdir(parents=True)
        return folder


def conditions(run: Run) -> dict[str, object]:
    """What a reader must know to judge the figures."""
    return {
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "python": platform.python_version(),
        "commit": _commit(),
        "file_system": _file_system(run.folder),
        "seed": run.seed,
        "rounds": run.rounds,
        "quick": run.quick,
    }


def _commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "-C", str(here), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _file_system(folder: Path) -> str:
    done = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(done.stdout.split()) or "unknown"
