"""From a path to its routes, one step per part. Parts are split before they are unescaped, so an id may hold `%2F`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from weftwork.api.rest.routes import Route, Verb

PART_MAX = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path: the routes by verb, and the words of the path by name."""

    routes: Mapping[Verb, Route]
    words: Mapping[str, str]


@dataclass(slots=True)
class _Step:
    literal: dict[str, "_Step"] = field(default_factory=dict)
    any: "_Step | None" = None
    ends: dict[str, dict[Verb, Route]] = field(default_factory=dict)
    """By what stands behind the last colon: `attach`; empty for the thing itself."""
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What the words of the path are called, likewise."""


class Paths:
    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Step()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        path, _, verb = route.path.partition(":")
        step = self._root
        for part in path.strip("/").split("/"):
            if part.startswith("{"):
                step.any = step = step.any or _Step()
            else:
                step = step.literal.setdefault(part, _Step())
        there = step.ends.setdefault(verb, {})
        assert route.verb not in there, f"two routes at {route.verb} {route.path}"
        assert all(one.words == route.words for one in there.values()), f"{route.path}: words have two names"
        there[route.verb] = route
        step.words[verb] = tuple(route.words)

    def find(self, raw_path: bytes) -> Found | None:
        """None when nothing is there."""
        text = raw_path.decode("latin-1")
        is_plain = "%" not in text and text.isascii() and len(text) <= PART_MAX
        parts = text.strip("/").split("/")
        parts[-1], _, verb = parts[-1].partition(":")
        step = self._root
        words: list[str] = []
        for part in parts:
            following = step.literal.get(part)
            if following is None:
                following = step.any
                word = part if is_plain else _unescaped(part)
                if following is None or not word:
                    return None
                words.append(word)
            step = following
        routes = step.ends.get(verb)
        if not routes:
            return None
        return Found(routes, dict(zip(step.words[verb], words, strict=True)))


def _unescaped(part: str) -> str:
    """Empty for what is no text."""
    if len(part) > PART_MAX:
        return ""
    try:
        return unquote_to_bytes(part).decode() if "%" in part else part.encode("latin-1").decode()
    except UnicodeDecodeError:
        return ""
