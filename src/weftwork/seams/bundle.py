"""What a server can tell of itself to whoever helps, as files."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BundleFile:
    name: str
    text: str


class Bundler(Protocol):
    def files(self) -> AsyncIterator[BundleFile]:
        """Each without secrets; what cannot be had is a file that says why."""
        ...
