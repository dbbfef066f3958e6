"""Which of the places that may say a setting is listened to. Pure: files and the environment are read elsewhere.

A context is a server by name: its address, its TLS and its token stand or fall together, at the level that names it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from weftwork.cli.problems import ExitCode, Problem

TLS = ("ca", "certificate", "key")
KEYS = ("context", "server", "project", "output", "color", *TLS)
PROJECT_FILE_KEYS = ("context", "project", "output", "color")
"""A project's file comes with whatever one checks out: it neither names a server nor says what is shown to one."""
DEFAULTS = {
    "server": "unix:/run/weftwork/api.sock",
    "project": "default/default",
    "output": "table",
    "color": "auto",
}


class Level(IntEnum):
    """The first one that says a setting wins."""

    FLAG = 1
    ENVIRONMENT = 2
    PROJECT_FILE = 3
    CONTEXT = 4
    """The project of the context in force, however that was named."""
    USER = 5
    SYSTEM = 6
    DEFAULT = 7


@dataclass(frozen=True, slots=True)
class Source:
    """What one place says. `place` is how a person finds it; `{key}` and `{KEY}` in it stand for a setting."""

    level: Level
    place: str
    values: Mapping[str, str]

    def of(self, key: str) -> str:
        return self.place.replace("{key}", key).replace("{KEY}", key.upper())


@dataclass(frozen=True, slots=True)
class Context:
    """A server by name. The token is a secret; `place` is the file that it stands in."""

    name: str
    server: str
    project: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    token: str = field(default="", repr=False)
    token_file: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A value, and who said it."""

    value: str
    level: Level
    place: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """`context` is the one whose server is in force; a server named on its own has none."""

    said: Mapping[str, Said]
    context: Context | None


def choose(sources: Sequence[Source], contexts: Mapping[str, Context]) -> Chosen:
    """Problems USAGE (a server and a context in one place) and CONTEXT_NOT_FOUND."""
    ordered = sorted(sources, key=lambda source: source.level)
    naming = next((one for one in ordered if {"server", "context"} & one.values.keys()), None)
    context = _context(naming, contexts) if naming else None
    said: dict[str, Said] = {}
    for one in (*_of_all(ordered), *_of_context(naming, context)):
        key, value = one
        if key not in said or value.level < said[key].level:
            said[key] = value
    return Chosen(said, context)


def _of_all(sources: Sequence[Source]) -> Iterator[tuple[str, Said]]:
    default = Source(Level.DEFAULT, "default", DEFAULTS)
    for source in (*sources, default):
        for key, value in source.values.items():
            yield key, Said(value, source.level, source.of(key))


def _of_context(naming: Source | None, context: Context | None) -> Iterator[tuple[str, Said]]:
    """Its project is what the person who made it usually works in: no more than a default, whoever named it."""
    if naming is None or context is None:
        return
    place = f"context {context.name} ({context.place})"
    for key in ("server", *TLS):
        if value := getattr(context, key):
            yield key, Said(value, naming.level, place)
    if context.project:
        yield "project", Said(context.project, Level.CONTEXT, place)


def _context(naming: Source, contexts: Mapping[str, Context]) -> Context | None:
    name = naming.values.get("context")
    if name is None:
        return None
    if "server" in naming.values:
        both = " and ".join(dict.fromkeys((naming.of("server"), naming.of("context"))))
        raise Problem(ExitCode.USAGE, "USAGE", f"{both}: a context has a server of its own", hint="say one of the two")
    if name not in contexts:
        raise Problem(
            ExitCode.NOT_FOUND,
            "CONTEXT_NOT_FOUND",
            f"there is no context {name}, which {naming.of('context')} names",
            hint=f"weft context list, or weft context add {name} --server ADDRESS",
        )
    return contexts[name]
