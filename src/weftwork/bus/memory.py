"""A bus for one process, which lasts as long as the process."""

import asyncio
import contextlib

from weftwork.seams.bus import Handle, Message, matches

QUEUE_MAX = 10_000
"""Of a queue that nobody empties, the oldest messages go."""
AGAIN_S = 0.05


class MemoryBus:
    def __init__(self) -> None:
        self._queues: dict[str, tuple[str, asyncio.Queue[Message]]] = {}

    async def publish(self, message: Message) -> None:
        for binding, queue in self._queues.values():
            if matches(binding, message.key):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(message)

    async def consume(self, queue: str, binding: str, handle: Handle) -> None:
        _, messages = self._queues.setdefault(queue, (binding, asyncio.Queue(QUEUE_MAX)))
        while True:
            message = await messages.get()
            await _handled(message, handle)


async def _handled(message: Message, handle: Handle) -> None:
    while True:
        with contextlib.suppress(Exception):
            return await handle(message)
        await asyncio.sleep(AGAIN_S)
