"""`python -m weftwork.apps.gatekeeper FOLDER`: the keeper of a gate as a process. Its agent starts it."""

import sys
from pathlib import Path

from weftwork.drivers.gate.keeper import keep
from weftwork.telemetry.logs import start_logging


def main() -> None:
    start_logging()
    keep(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
