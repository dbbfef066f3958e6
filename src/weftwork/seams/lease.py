"""Who of several servers over one store publishes: one at a time, in terms that have rising numbers."""

from typing import Protocol


class Term(Protocol):
    """One server's time as the leader."""

    @property
    def number(self) -> int:
        """Higher than that of every term before. Whoever is told what to do by terms obeys none but the highest."""
        ...

    def is_held(self) -> bool:
        """Whether nobody else can lead now, by this process' own clock. False for good once it is false."""
        ...

    async def over(self) -> None:
        """Returns when the term is over."""
        ...

    async def resign(self) -> None:
        """Let another one lead at once."""
        ...


class Leadership(Protocol):
    async def elected(self) -> Term:
        """Waits for its turn; goes on trying while the store is out of reach."""
        ...
