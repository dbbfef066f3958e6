"""Messages between control planes, hosts and whoever listens: topics with words and dots, at least once, in order."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

EXCHANGE = "pitwall.orchestration"


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same whenever the message comes again: who acts on it acts once."""

    key: str
    body: bytes
    id: str


Handle = Callable[[Message], Awaitable[None]]
"""Returns once the message is dealt with for good. When it raises, the message comes again."""


class Bus(Protocol):
    async def publish(self, message: Message) -> None:
        """Returns once the bus has it for good. Raises Failure BUS_UNAVAILABLE."""
        ...

    async def consume(self, queue: str, binding: str, handle: Handle) -> None:
        """Until cancelled: what is published to topics like the binding (`*` is one word, `#` any number of them).

        A queue keeps what came while nobody consumed it; of several who do, each message goes to one. Outages are
        waited for.
        """
        ...


def matches(binding: str, key: str) -> bool:
    return _matches(binding.split("."), key.split("."))


def _matches(binding: list[str], key: list[str]) -> bool:
    if not binding:
        return not key
    word, *rest = binding
    if word == "#":
        return any(_matches(rest, key[at:]) for at in range(len(key) + 1))
    return bool(key) and word in ("*", key[0]) and _matches(rest, key[1:])
