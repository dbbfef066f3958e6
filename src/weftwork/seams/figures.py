"""What the deployment can tell of itself to those who watch over it."""

from typing import Protocol

from weftwork.telemetry.metrics import Figure


class Figures(Protocol):
    async def figures(self) -> tuple[Figure, ...]:
        """As of now; their number follows the targets, not the tenants."""
        ...

    async def not_ready(self) -> tuple[str, ...]:
        """What keeps the deployment from serving, in words; empty when all is well."""
        ...
