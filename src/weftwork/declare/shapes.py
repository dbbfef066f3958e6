"""What a project file may hold, as values: each shape reads its nodes, and says itself as JSON Schema.

So the reader, the schema for editors and the page of the reference are one definition.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from weftwork.declare.source import Items, Mistake, Node, Pairs, Place, Word

MISTAKES_MAX = 20
NEAR = 0.6
"""How like a known word an unknown one must be for us to ask whether it was meant."""


@dataclass(slots=True)
class Reading:
    """Collects mistakes, so that an author hears of more than the first."""

    mistakes: list[Mistake] = field(default_factory=list)

    def note(self, place: Place, what: str) -> Any:
        """None, which is what a shape reads where there is a mistake."""
        if len(self.mistakes) < MISTAKES_MAX:
            self.mistakes.append(Mistake(place, what))
        return None


class Shape(Protocol):
    def read(self, node: Node, reading: Reading) -> Any:
        """The value; None when it is noted as a mistake, or is nothing."""
        ...

    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """`parse` makes the value, or raises ValueError; `pattern` is for editors, and holds of what `parse` takes."""

    what: str
    parse: Callable[[str], Any] = str
    pattern: str = ""
    examples: tuple[str, ...] = ()

    def read(self, node: Node, reading: Reading) -> Any:
        if not isinstance(node, Word):
            return reading.note(node.place, f"{self.what} is expected here, as one text")
        if node.is_null:
            return reading.note(node.place, f"{self.what} is expected here, and there is nothing")
        try:
            return self.parse(node.text)
        except ValueError as error:
            return reading.note(node.place, str(error))

    def schema(self) -> dict[str, Any]:
        told: dict[str, Any] = {"type": "string", "description": self.what}
        if self.pattern:
            told["pattern"] = f"^(?:{self.pattern})$"
        return told | ({"examples": list(self.examples)} if self.examples else {})


@dataclass(frozen=True, slots=True)
class OneOf:
    words: tuple[str, ...]

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Word) and node.text in self.words:
            return node.text
        said = f"{node.text[:60]!r} is" if isinstance(node, Word) else "this is"
        return reading.note(node.place, f"{said} none of {', '.join(self.words)}{_meant(node, self.words)}")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`, and no other word of YAML 1.1's."""

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Word) and node.is_plain and node.text in ("true", "false"):
            return node.text == "true"
        return reading.note(node.place, "true or false is expected here")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Number:
    what: str
    least: int
    most: int

    def read(self, node: Node, reading: Reading) -> Any:
        text = node.text if isinstance(node, Word) and node.is_plain else ""
        if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) and self.least <= int(text) <= self.most:
            return int(text)
        return reading.note(node.place, f"{self.what} is a number from {self.least} to {self.most}")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "description": self.what, "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class ListOf:
    """Each value may make several; nothing at all is an empty list."""

    item: Shape
    flatten: bool = False

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Word) and node.is_null:
            return ()
        if not isinstance(node, Items):
            return reading.note(node.place, "a list is expected here")
        found = [one for item in node.items if (one := self.item.read(item, reading)) is not None]
        return tuple(part for one in found for part in one) if self.flatten else tuple(found)

    def schema(self) -> dict[str, Any]:
        return {"type": ["array", "null"], "items": self.item.schema()}


@dataclass(frozen=True, slots=True)
class Named:
    """Things by name."""

    name: Text
    thing: Shape

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Word) and node.is_null:
            return {}
        if not isinstance(node, Pairs):
            return reading.note(node.place, f"{self.name.what} and a colon are expected here, once for each")
        found: dict[Any, Any] = {}
        for key, value in node.pairs:
            name = self.name.read(key, reading)
            thing = self.thing.read(value, reading)
            if name is None or thing is None:
                continue
            if name in found:
                reading.note(key.place, f"{key.text!r} is another word for what stands here already")
            found[name] = thing
        return found

    def schema(self) -> dict[str, Any]:
        name = self.name.schema()
        return {"type": ["object", "null"], "propertyNames": name, "additionalProperties": self.thing.schema()}


@dataclass(frozen=True, slots=True)
class OneOrNone:
    """A section with one thing in it, which needs no name; `none` for an empty one."""

    thing: Shape

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Word) and node.text == "none":
            return {}
        thing = self.thing.read(node, reading)
        return None if thing is None else {"": thing}

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "none"}, self.thing.schema()]}


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a record."""

    shape: Shape
    help: str
    default: Any = None
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Fields, and what is made of them. Nothing at all is a record that says nothing."""

    what: str
    parts: Mapping[str, Part]
    make: Callable[..., Any] = dict

    def read(self, node: Node, reading: Reading) -> Any:
        if isinstance(node, Word) and node.is_null:
            node = Pairs((), node.place)
        if not isinstance(node, Pairs):
            return reading.note(node.place, f"{self.what} has fields: {', '.join(self.parts)}")
        before = len(reading.mistakes)
        said: dict[str, Any] = {}
        for key, value in node.pairs:
            part = self.parts.get(key.text)
            if part is None:
                known = tuple(self.parts)
                told = _meant(key, known) or f"; it has {', '.join(known)}"
                reading.note(key.place, f"{self.what} has no field {key.text[:60]!r}{told}")
            else:
                said[key.text] = part.shape.read(value, reading)
        for name, part in self.parts.items():
            if part.needed and name not in said:
                reading.note(node.place, f"{self.what} needs the field {name!r}")
        if len(reading.mistakes) > before:
            return None
        try:
            return self.make(**{name: said.get(name, part.default) for name, part in self.parts.items()})
        except ValueError as error:
            return reading.note(node.place, str(error))

    def schema(self) -> dict[str, Any]:
        needed = [name for name, part in self.parts.items() if part.needed]
        told: dict[str, Any] = {
            "type": "object" if needed else ["object", "null"],
            "additionalProperties": False,
            "properties": {name: part.shape.schema() | {"description": part.help} for name, part in self.parts.items()},
        }
        return told | ({"required": needed} if needed else {})


def _meant(node: Node, known: tuple[str, ...]) -> str:
    near = get_close_matches(node.text[:60], known, 1, NEAR) if isinstance(node, Word) else []
    return f"; is {near[0]!r} meant?" if near else ""
