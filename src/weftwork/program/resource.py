"""One thing a target holds, and a program: everything of ours on one target."""

from collections.abc import Hashable
from typing import ClassVar, Protocol

Key = tuple[str, ...]
"""`(kind, scope, …)`. The scope is what succeeds or fails together: on Linux, a network namespace."""

SliceId = tuple[str, ...]
"""What a resource was compiled from: `("port", "org", "project", "<uuid>")`."""


class Resource(Hashable, Protocol):
    """Frozen and comparable. Equal means: nothing to do."""

    rank: ClassVar[int]
    """Creation order among kinds; deletion is the other way round."""

    @property
    def key(self) -> Key:
        """Identity on the target; two resources of one program never share it."""
        ...

    @property
    def scope(self) -> str: ...


Program = frozenset[Resource]
