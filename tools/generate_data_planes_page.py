#!/usr/bin/env python3
"""Write docs/reference/data-planes.md from the equivalence suite; with --check, only say whether it is so."""

import sys
from pathlib import Path

from weftwork.testing.equivalence.support import page

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "data-planes.md"


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
