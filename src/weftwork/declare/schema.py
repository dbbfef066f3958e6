"""The form of project files as a JSON Schema (draft 2020-12), which editors check and complete by."""

import json
from typing import Any

from weftwork.declare.grammar import PROJECT


def json_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A project of Weftwork",
        "description": "What `weft apply -f` reads and `weft export` prints.",
        **PROJECT.schema(),
    }


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
