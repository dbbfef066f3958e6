"""The page of error codes says what the code says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOL = runpy.run_path(str(ROOT / "tools/generate_errors_page.py"))


def test_the_page_is_what_the_tool_makes() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()

    assert page == TOOL["page"](), "run `python tools/generate_errors_page.py`"
