"""From text to nodes that know their line: the part of YAML 1.2 that project files are written in.

A word is text until a field says what it should be, so that `no` is never false and 1.10 never 1.1. Aliases, tags,
merge keys and keys that come twice are refused: what is read is what stands there, and never grows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml import events

TEXT_MAX = 512 * 1024
"""Characters of one file."""
NODES_MAX = 50_000
DEPTH_MAX = 12

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Place:
    """Counted from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Word:
    """`is_plain`: without quotes."""

    text: str
    is_plain: bool
    place: Place

    @property
    def is_null(self) -> bool:
        return self.is_plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Items:
    items: "tuple[Node, ...]"
    place: Place


@dataclass(frozen=True, slots=True)
class Pairs:
    pairs: "tuple[tuple[Word, Node], ...]"
    place: Place


Node = Word | Items | Pairs


class Mistake(ValueError):
    """Something in a file is not as it should be; says where."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(f"{place}: {what}")
        self.place = place
        self.what = what


def documents(file: str, text: str) -> Iterator[Node]:
    """Each document of the file; empty ones are left out. Raises Mistake."""
    if len(text) > TEXT_MAX:
        raise Mistake(Place(file, 1, 1), f"the file has {len(text)} characters, at most {TEXT_MAX} are read")
    try:
        reader = _Reader(file, text)
        while (node := reader.document()) is not None:
            if not (isinstance(node, Word) and node.is_null):
                yield node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        raise Mistake(place, f"this is not YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        at = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise Mistake(Place(file, at, 1), "there is a character that YAML cannot hold") from None


class _Reader:
    """Goes through the events once; stops at the first thing that is not ours, before it can grow."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._events: Iterator[events.Event] = iter(yaml.parse(text, Loader=_Loader))
        self._nodes = 0

    def document(self) -> Node | None:
        for event in self._events:
            if isinstance(event, events.DocumentStartEvent):
                node = self._node(next(self._events), 0)
                next(self._events)
                return node
        return None

    def _node(self, event: events.Event, depth: int) -> Node:
        place = self._place(event)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise Mistake(place, f"more than {NODES_MAX} values are not read")
        if depth > DEPTH_MAX:
            raise Mistake(place, f"nothing is nested deeper than {DEPTH_MAX}")
        if isinstance(event, events.AliasEvent) or getattr(event, "anchor", None):
            raise Mistake(place, "anchors and aliases are not read: write it out")
        if tag := getattr(event, "tag", None):
            raise Mistake(place, f"tags such as {tag} are not read")
        match event:
            case events.ScalarEvent():
                return Word(event.value, bool(event.implicit[0]) and not event.style, place)
            case events.SequenceStartEvent():
                return Items(tuple(self._items(depth)), place)
            case events.MappingStartEvent():
                return Pairs(tuple(self._pairs(depth)), place)
        raise AssertionError(f"a node cannot begin with {event}")

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _pairs(self, depth: int) -> Iterator[tuple[Word, Node]]:
        seen: dict[str, Place] = {}
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Word):
                raise Mistake(key.place, "a name is one word")
            if key.text == "<<" and key.is_plain:
                raise Mistake(key.place, "merge keys (<<) are not read: write it out")
            if key.text in seen:
                raise Mistake(key.place, f"{_short(key.text)!r} stands here twice, first in line {seen[key.text].line}")
            seen[key.text] = key.place
            yield key, self._node(next(self._events), depth + 1)

    def _place(self, event: events.Event) -> Place:
        mark = event.start_mark
        assert mark is not None, "the parser marks every event"
        return Place(self._file, mark.line + 1, mark.column + 1)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
