"""docs/reference/data-planes.md is what the equivalence suite says."""

from pathlib import Path

from weftwork.testing.equivalence.support import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "data-planes.md"


def test_the_page_of_data_planes_is_the_suites() -> None:
    assert PAGE.read_text() == page(), "run: .venv/bin/python tools/generate_data_planes_page.py"
