"""Resources by scope and key: what should be there, and what we believe is there."""

from collections.abc import Iterable, Iterator

from weftwork.program.resource import Key, Program, Resource


class Ledger:
    """Resources, by their key, with every scope's at hand. A key's second word is its scope."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._scopes: dict[str, dict[Key, Resource]] = {}
        for resource in resources:
            self.put(resource)

    def put(self, resource: Resource) -> None:
        key = resource.key
        self._scopes.setdefault(key[1], {})[key] = resource

    def drop(self, key: Key) -> None:
        scope = self._scopes.get(key[1])
        if scope is not None:
            scope.pop(key, None)
            if not scope:
                del self._scopes[key[1]]

    def get(self, key: Key) -> Resource | None:
        scope = self._scopes.get(key[1])
        return scope.get(key) if scope else None

    def replace_scope(self, scope: str, resources: Iterable[Resource]) -> None:
        self._scopes.pop(scope, None)
        for resource in resources:
            self.put(resource)

    def of(self, keys: Iterable[Key]) -> Program:
        return frozenset(found for key in keys if (found := self.get(key)) is not None)

    def keys(self, scope: str) -> frozenset[Key]:
        return frozenset(self._scopes.get(scope, ()))

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self._scopes)

    def __iter__(self) -> Iterator[Resource]:
        for scope in self._scopes.values():
            yield from scope.values()

    def __len__(self) -> int:
        return sum(len(scope) for scope in self._scopes.values())


def differing(desired: Ledger, believed: Ledger, scopes: Iterable[str]) -> frozenset[Key]:
    """The keys of these scopes that are not as they should be."""
    return frozenset(
        key
        for scope in scopes
        for key in desired.keys(scope) | believed.keys(scope)
        if desired.get(key) != believed.get(key)
    )
