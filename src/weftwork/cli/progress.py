"""What is going on while a person waits: one line on stderr that is drawn over and taken away. Terminals only."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weftwork.cli.problems import draw, erase
from weftwork.cli.settings import Color, current

FIRST_S = 0.5
"""What is done by then needs no telling."""
EVERY_S = 0.1
_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@asynccontextmanager
async def waiting(what: str, goal: str) -> AsyncIterator[None]:
    """Says how long we have been waiting for it, until the block ends."""
    import asyncio

    if not sys.stderr.isatty():
        yield
        return
    drawing = asyncio.create_task(_draw(what, goal))
    try:
        yield
    finally:
        drawing.cancel()
        await asyncio.wait((drawing,))
        erase()


async def _draw(what: str, goal: str) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    began = loop.time()
    is_plain = current().color is Color.NEVER or "utf" not in (sys.stderr.encoding or "").lower()
    await asyncio.sleep(FIRST_S)
    for step in range(sys.maxsize):
        sign = "" if is_plain else f"{_SIGNS[step % len(_SIGNS)]} "
        draw(f"{sign}{what}: waiting for {goal}, {loop.time() - began:.0f} s")
        await asyncio.sleep(EVERY_S)
