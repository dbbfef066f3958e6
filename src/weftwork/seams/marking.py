"""Whose is what stands on a target: everything of ours carries the deployment that it was made for."""

from collections.abc import Mapping
from typing import Protocol

Standing = Mapping[str, frozenset[str]]
"""By deployment, what stands for it, in words. "" is what was made before marks told deployments apart."""


class Marking(Protocol):
    """What a driver can do beside its program: it observes and changes the things of one deployment only."""

    async def standing(self) -> Standing: ...

    async def adopt(self, deployments: frozenset[str]) -> None:
        """Write the driver's own deployment over these. Killed half-way, some is adopted, and the rest can be."""
        ...
