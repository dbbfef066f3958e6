"""From what an identity provider says of a person to roles here. Keycloak's three shapes are read as they come."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weftwork.access.roles import WORDS, Grant, Role, parse_grant
from weftwork.base.tenancy import NAME

PATHS = ("realm_access.roles", "resource_access.weftwork.roles", "groups")
"""Realm roles, roles of our client, groups: as Keycloak writes them."""
PREFIX = "weft:"
_GROUP = re.compile(r"/weft/(?P<org>[^/]+)(?:/(?P<project>[^/]+))?/(?P<role>[a-z-]+)")


@dataclass(frozen=True, slots=True)
class ClaimsMapping:
    """`paths` lead to lists of words; `words` says what a word of theirs means here.

    Without being told, `weft:operator@acme/web` and the group `/weft/acme/web/operator` mean what they say.
    """

    paths: tuple[str, ...] = PATHS
    words: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)

    def grants(self, claims: Mapping[str, Any]) -> tuple[Grant, ...]:
        """In the order they come, each once; what means nothing here is skipped."""
        found = (grant for path in self.paths for word in _words(claims, path) for grant in self._meant(word))
        return tuple(dict.fromkeys(found))

    def _meant(self, word: str) -> tuple[Grant, ...]:
        if word in self.words:
            return self.words[word]
        grant = _written(word)
        return (grant,) if grant else ()


def parse_mapping(lines: tuple[str, ...]) -> Mapping[str, tuple[Grant, ...]]:
    """`net-ops=operator@acme`, one each; a word may come several times. ValueError."""
    words: dict[str, tuple[Grant, ...]] = {}
    for line in lines:
        word, equals, grant = line.rpartition("=")
        if not equals or not word:
            raise ValueError(f"{line!r} is not WORD=ROLE@ORG/PROJECT")
        words[word] = (*words.get(word, ()), parse_grant(grant))
    return words


def _written(word: str) -> Grant | None:
    if word.startswith(PREFIX):
        try:
            return parse_grant(word.removeprefix(PREFIX))
        except ValueError:
            return None
    if word == "/weft/fleet-admin":
        return Grant(Role.FLEET_ADMIN)
    match = _GROUP.fullmatch(word)
    if match is None:
        return None
    role, org, project = WORDS.get(match["role"]), match["org"], match["project"] or ""
    if role in (None, Role.FLEET_ADMIN) or not all(NAME.fullmatch(one) for one in (org, project) if one):
        return None
    assert role is not None
    return Grant(role, org, project)


def _words(claims: Mapping[str, Any], path: str) -> Iterator[str]:
    """A dot parts the steps; a step may itself hold dots when the claim's name does (`https://acme.example/roles`)."""
    found = claims[path] if path in claims else _at(claims, path.split("."))
    if isinstance(found, str):
        yield found
    elif isinstance(found, list):
        yield from (one for one in found if isinstance(one, str))


def _at(claims: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(claims, Mapping):
            return None
        claims = claims.get(step)
    return claims
