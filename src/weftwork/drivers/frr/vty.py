"""Speaks to a daemon of FRR over its own socket, as `vtysh` does: no process for a command.

A command ends with a zero; its answer ends with three and the result. `enable` comes first on each connection.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from weftwork.base.errors import Failure

_END = b"\0\0\0"
_ANSWER_S = 5.0
_ANSWER_BYTES_MAX = 64 << 20
_WARNING = 1
"""Said of what changes nothing, such as the same neighbour again."""


async def ask(path: Path, *commands: str) -> list[str]:
    """What the daemon answers to each. Failure FRR_UNREACHABLE when nobody does, FRR_REFUSED when it does not obey."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_ANSWER_BYTES_MAX)
            try:
                return (await _conversation(reader, writer, ("enable", *commands)))[1:]
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        raise Failure("FRR_UNREACHABLE", f"{path.name.removesuffix('.vty')}: {error or 'no answer'}") from None


async def _conversation(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: Sequence[str]
) -> list[str]:
    answers: list[str] = []
    for command in commands:
        writer.write(command.encode() + b"\0")
        said = (await reader.readuntil(_END)).removesuffix(_END).decode(errors="replace")
        (result,) = await reader.readexactly(1)
        if result > _WARNING:
            raise Failure("FRR_REFUSED", f"{command.strip()}: {said.strip() or f'result {result}'}")
        answers.append(said)
    return answers
