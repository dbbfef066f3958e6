"""The page about REST lists the paths that there are."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOL = runpy.run_path(str(ROOT / "tools/generate_rest_page.py"))


def test_the_table_of_paths_is_what_the_tool_makes() -> None:
    page = (ROOT / "docs/reference/rest.md").read_text()

    assert page == TOOL["page"](page), "run `python tools/generate_rest_page.py`"
