"""Where a host's container images come from."""

from collections.abc import Callable
from typing import Protocol

Told = Callable[[str], None]
"""Called with what is going on, in words for people."""


class ImageSource(Protocol):
    async def fetch(self, name: str, told: Told) -> str:
        """The digest of the image's manifest, once all of the image is in the host's cache.

        Raises Refusal when it cannot be, Failure when asking again may help.
        """
        ...
