"""Reasons and errors are one registry: each code has one meaning, and a page that says it."""

import runpy
from pathlib import Path

from weftwork.base import codes
from weftwork.base.reasons import ReasonCode

ROOT = Path(__file__).resolve().parents[3]
PAGES = runpy.run_path(str(ROOT / "tools/generate_reason_pages.py"))["pages"]()
FOLDER = ROOT / "docs/reference/reasons"


def test_no_code_is_both_an_error_and_a_reason() -> None:
    assert not set(ReasonCode.__members__) & codes.ALL.keys()


def test_each_code_has_one_meaning_of_its_own() -> None:
    # An enum makes members of equal values into one.
    assert len(ReasonCode.__members__) == len(ReasonCode)
    assert len({code.value.text for code in ReasonCode}) == len(ReasonCode)


def test_each_code_has_a_page_and_each_page_is_what_the_tool_makes() -> None:
    found = {page.name: page.read_text() for page in FOLDER.glob("*.md")}

    assert found == PAGES, "run `python tools/generate_reason_pages.py`"


def test_each_reason_that_stops_says_what_to_do_and_gives_an_example() -> None:
    for code in ReasonCode:
        meaning = code.value
        assert meaning.text.endswith(".") and meaning.what_to_do.endswith(".")
        assert not meaning.stops or meaning.what_to_do != "Nothing: this lets the packet pass."
        assert meaning.example != meaning.text
