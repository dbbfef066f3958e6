#!/usr/bin/env python3
"""Makes docs/reference/reasons/ from base/reasons.py: a page per code, and the list of them.

tests/unit/base/test_reasons.py says whether they are current.
"""

from pathlib import Path

from weftwork.base.reasons import ReasonCode

FOLDER = Path(__file__).resolve().parents[1] / "docs/reference/reasons"
INDEX = "README.md"

NOTE = "*Generated from `src/weftwork/base/reasons.py` by `tools/generate_reason_pages.py`: do not edit.*"
HEAD = f"""# Reasons

{NOTE}

Why a packet passes or not, as [`weft explain`](../../howto/why-not.md) tells it. A code, once published, never changes
its meaning. Codes of refused calls are [errors](../errors.md); no code is both. What the verdicts promise is in
[the reference model](../../explain/reference-model.md).
"""


def pages() -> dict[str, str]:
    """The text of each file of the folder."""
    return {INDEX: index(), **{f"{code.name}.md": page(code) for code in ReasonCode}}


def index() -> str:
    return "\n".join((HEAD, *_table(True), *_table(False)))


def _table(stops: bool) -> tuple[str, ...]:
    rows = (f"| [`{one.name}`]({one.name}.md) | {one.value.text} |" for one in ReasonCode if one.value.stops == stops)
    return (
        f"## What {'stops a packet' if stops else 'lets a packet pass'}",
        "",
        "| code | meaning |",
        "|---|---|",
        *rows,
        "",
    )


def page(code: ReasonCode) -> str:
    meaning = code.value
    return f"""# {code.name}

{NOTE}

{"Stops a packet" if meaning.stops else "Lets a packet pass"}. [All reasons]({INDEX})

**Meaning.** {meaning.text}

**Example.** {meaning.example}

**What to do.** {meaning.what_to_do}

More: [Why can A not reach B](../../howto/why-not.md) · [the reference model](../../explain/reference-model.md)
"""


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    texts = pages()
    for stray in FOLDER.glob("*.md"):
        if stray.name not in texts:
            stray.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text)
