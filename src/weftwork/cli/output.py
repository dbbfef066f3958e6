"""Data goes to stdout in the form that was asked for; everything else goes to stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import click

from weftwork.cli.document import API_VERSION, Document, list_document
from weftwork.cli.nouns import Column, Noun
from weftwork.cli.problems import note, printable
from weftwork.cli.settings import Color, Output, current

_GAP = "  "
_SHOWN = "weftwork.cli.shown"

Name = Callable[[Document], str]


def print_one(noun: Noun, document: Document) -> None:
    settings = current()
    match settings.output:
        case Output.TABLE | Output.WIDE:
            print_card(noun.columns, document)
        case Output.NAME:
            print(noun.name(document))
        case Output.JSON | Output.YAML:
            print_data(document)


def print_list(noun: Noun, documents: Sequence[Document]) -> None:
    _print_all(noun.title, noun.columns, documents, noun.name, nothing=f"no {noun.plural}")


def print_rows(kind: str, columns: Sequence[Column], documents: Sequence[Document], *, nothing: str) -> None:
    """A list of what is not a noun. Its first column is its name; `nothing` is said when it is empty."""
    _print_all(kind, columns, documents, columns[0].text, nothing=nothing)


@dataclass(slots=True)
class Shown:
    """How the running command lists: the titles that were asked for, and whether only what is new since the last list.

    `lines` and `widths` are what the last list had, by name.
    """

    columns: tuple[str, ...] | None = None
    changes_only: bool = False
    lines: dict[str, str] | None = None
    widths: tuple[int, ...] = ()


def show_as(shown: Shown) -> None:
    if shown.columns and not is_text():
        raise click.UsageError("--columns are of a table; -o json and yaml have all fields")
    click.get_current_context().meta[_SHOWN] = shown


def _print_all(
    kind: str, columns: Sequence[Column], documents: Sequence[Document], name: Name, *, nothing: str
) -> None:
    shown: Shown = click.get_current_context().meta.get(_SHOWN) or Shown()
    chosen = _listed(columns, current().output, shown.columns)
    if shown.changes_only:
        _print_news(shown, kind, chosen, documents, name, nothing)
        return
    match current().output:
        case Output.TABLE | Output.WIDE:
            _print_table(chosen, documents)
            if not documents:
                note(nothing)
        case Output.NAME:
            for document in documents:
                print(name(document))
        case Output.JSON | Output.YAML:
            print_data(list_document(kind, documents))


def _print_news(
    shown: Shown, kind: str, columns: Sequence[Column], documents: Sequence[Document], name: Name, nothing: str
) -> None:
    """First the list, then whatever is not as it was; a line for each, whole at once, also through a pipe."""
    before = shown.lines
    rows = {name(one): [printable(column.text(one)) for column in columns] for one in documents}
    if before is None:
        header = [column.title for column in columns]
        shown.widths = tuple(max(map(len, cells)) for cells in zip(header, *rows.values(), strict=True))
        if is_text() and current().output is not Output.NAME:
            print(_titled(_joined(header, shown.widths)), flush=True)
        if not documents:
            note(nothing)
    shown.lines = {}
    for document in documents:
        one = name(document)
        line = shown.lines[one] = _news_line(document, _joined(rows[one], shown.widths), one)
        if (before or {}).get(one) != line:
            print(line, flush=True)
    for gone in (before or {}).keys() - shown.lines.keys():
        deleted = {"apiVersion": API_VERSION, "kind": "Deleted", "resource": {"kind": kind, "name": gone}}
        print(_news_line(deleted, f"{printable(gone)}  deleted", f"{gone} deleted"), flush=True)


def _news_line(document: Document, row: str, name: str) -> str:
    match current().output:
        case Output.TABLE | Output.WIDE:
            return row
        case Output.NAME:
            return name
        case Output.JSON:
            return json.dumps(document, ensure_ascii=False)
        case Output.YAML:
            return f"---\n{_yaml(document)}".rstrip("\n")


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
        print(_yaml(data), end="")
    else:
        print(json.dumps(data, indent=2, ensure_ascii=False))


def _yaml(data: Document) -> str:
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def is_text() -> bool:
    """Was text for people asked for, rather than data?"""
    return current().output in (Output.TABLE, Output.WIDE)


def print_text_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    header, *lines = _aligned([list(titles), *([printable(cell) for cell in row] for row in rows)])
    print(_titled(header))
    for line in lines:
        print(line)


def print_card(columns: Sequence[Column], document: Document) -> None:
    for line in _card(columns, document):
        print(line)


def _titled(header: str) -> str:
    return f"\x1b[1m{header}\x1b[0m" if _colored() else header


def _listed(columns: Sequence[Column], output: Output, titles: Sequence[str] | None) -> list[Column]:
    if titles:
        by_title = {column.title: column for column in columns}
        return [by_title[title] for title in titles]
    return [one for one in columns if not one.detail and (output is Output.WIDE or not one.wide)]


def _print_table(columns: Sequence[Column], documents: Sequence[Document]) -> None:
    if documents:
        rows = [[column.text(document) for column in columns] for document in documents]
        print_text_table([column.title for column in columns], rows)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [_joined(row, widths) for row in rows]


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


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
    color = current().color
    return color is Color.ALWAYS or (color is Color.AUTO and sys.stdout.isatty())
