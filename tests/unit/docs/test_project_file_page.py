"""The page of project files, and the schema beside it, say what the reader reads."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / "tools/generate_project_file_page.py"))
HINT = "run `python tools/generate_project_file_page.py`"


def test_the_page_is_current() -> None:
    page = TOOL["PAGE"].read_text()

    assert page == TOOL["page"](page), HINT


def test_the_schema_is_current() -> None:
    assert TOOL["SCHEMA"].read_text() == TOOL["schema_text"](), HINT
