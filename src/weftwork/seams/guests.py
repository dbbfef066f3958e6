"""The microVMs of one host: how each is, what it prints, and a way into it that is not its tenant's network."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol


class GuestState(Enum):
    """As Pitwall names them. INIT, before a host knows of it, is not a host's to say."""

    BUILDING_FILESYSTEM = "BUILDING_FILESYSTEM"
    BOOTING = "BOOTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """RUNNING is said when the guest itself said so, not when its process was started.

    `code` and `why` say why it is in ERROR, and of a stopped one whether it was forced; `exit_code` is what its
    command ended with, None while it runs or when nobody knows. `run` is the one that this is about.
    """

    state: GuestState
    since: datetime
    run: int
    pid: int | None = None
    exit_code: int | None = None
    code: str = ""
    why: str = ""
    restarts: int = 0


class GuestHost(Protocol):
    """What a host's driver of guests offers beside making its program true. All of it lives in one event loop."""

    def status(self, guest: str) -> GuestStatus | None:
        """None: there is no such guest here."""
        ...

    def changes(self) -> AsyncIterator[tuple[str, GuestStatus | None]]:
        """First how each is, then whenever it changes; None when it is gone. Who is slow misses steps, not the last."""
        ...

    def console(self, guest: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What is kept of what it printed, oldest first; with `follow`, and whatever comes, until it is gone.

        Raises Refusal GUEST_NOT_HERE.
        """
        ...

    async def connect(self, guest: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream to the SSH server in the guest. Raises Refusal GUEST_NOT_HERE, GUEST_NOT_RUNNING, GUEST_BUSY."""
        ...
