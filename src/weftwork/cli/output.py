"""Data goes to stdout in the form that was asked for; everything else goes to stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence

from weftwork.cli.document import API_VERSION, Document, list_document
from weftwork.cli.nouns import Column, Noun
from weftwork.cli.problems import note, printable
from weftwork.cli.settings import Output, current

_GAP = "  "


def print_one(noun: Noun, document: Document) -> None:
    settings = current()
    match settings.output:
        case Output.TABLE | Output.WIDE:
            for line in _card(noun.columns, document):
                print(line)
        case Output.NAME:
            print(noun.name(document))
        case Output.JSON | Output.YAML:
            print_data(document)


def print_list(noun: Noun, documents: Sequence[Document]) -> None:
    settings = current()
    match settings.output:
        case Output.TABLE | Output.WIDE:
            columns = _listed(noun.columns, settings.output)
            _print_table(columns, documents)
            if not documents:
                note(f"no {noun.plural}")
        case Output.NAME:
            for document in documents:
                print(noun.name(document))
        case Output.JSON | Output.YAML:
            print_data(list_document(noun.title, documents))


def print_rows(kind: str, columns: Sequence[Column], documents: Sequence[Document], *, nothing: str) -> None:
    """A list of what is not a noun. Its first column is its name; `nothing` is said when it is empty."""
    settings = current()
    match settings.output:
        case Output.TABLE | Output.WIDE:
            _print_table(_listed(columns, settings.output), documents)
            if not documents:
                note(nothing)
        case Output.NAME:
            for document in documents:
                print(columns[0].text(document))
        case Output.JSON | Output.YAML:
            print_data(list_document(kind, documents))


def print_deleted(noun: Noun, name: str) -> None:
    match current().output:
        case Output.TABLE | Output.WIDE:
            print(f"{noun.kind} {name} deleted")
        case Output.NAME:
            print(name)
        case Output.JSON | Output.YAML:
            print_data({"apiVersion": API_VERSION, "kind": "Deleted", "resource": {"kind": noun.kind, "name": name}})


def print_data(data: Document) -> None:
    """As YAML when that was asked for, else as JSON."""
    if current().output is Output.YAML:
        import yaml

        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
    else:
        print(json.dumps(data, indent=2, ensure_ascii=False))


def is_text() -> bool:
    """Was text for people asked for, rather than data?"""
    return current().output in (Output.TABLE, Output.WIDE)


def print_text_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    header, *lines = _aligned([list(titles), *([printable(cell) for cell in row] for row in rows)])
    print(f"\x1b[1m{header}\x1b[0m" if _colored() else header)
    for line in lines:
        print(line)


def _listed(columns: Sequence[Column], output: Output) -> list[Column]:
    return [one for one in columns if not one.detail and (output is Output.WIDE or not one.wide)]


def _print_table(columns: Sequence[Column], documents: Sequence[Document]) -> None:
    if documents:
        rows = [[column.text(document) for column in columns] for document in documents]
        print_text_table([column.title for column in columns], rows)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _card(columns: Sequence[Column], document: Document) -> list[str]:
    """One line per column; further lines of a value stand under its first."""
    width = max(len(column.title) for column in columns)
    lines = []
    for column in columns:
        first, *others = map(printable, column.text(document).split("\n"))
        lines.append(f"{column.title.ljust(width)}{_GAP}{first}")
        lines += [" " * (width + len(_GAP)) + other for other in others]
    return lines


def _colored() -> bool:
    return not current().no_color and not os.environ.get("NO_COLOR") and sys.stdout.isatty()
