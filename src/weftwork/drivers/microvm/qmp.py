"""QEMU's monitor (docs/interop/qmp-spec.txt): one command after the other, and events between the answers."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from weftwork.base.errors import Failure

_LINE_BYTES = 1 << 20
_ANSWER_S = 10.0

Told = Callable[[str, dict[str, Any]], None]
"""Called with an event's name and its data."""


class Monitor:
    """One connection. `run` reads until it ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Told) -> None:
        self._reader = reader
        self._writer = writer
        self._told = told
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    async def run(self) -> None:
        """Until QEMU closes it; then whoever waits for an answer hears that there is none."""
        try:
            while line := await self._reader.readline():
                self._take(json.loads(line))
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writer.close()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(Failure("VMM_GONE", "QEMU closed its monitor"))

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._told(message["event"], message.get("data", {}))
        elif self._answer is not None and not self._answer.done() and "QMP" not in message:
            self._answer.set_result(message)

    async def ask(self, command: str, **arguments: Any) -> Any:
        """Raises Failure VMM_REFUSED with what QEMU said, VMM_GONE."""
        async with self._turn:
            self._answer = asyncio.get_running_loop().create_future()
            request = {"execute": command} | ({"arguments": arguments} if arguments else {})
            try:
                async with asyncio.timeout(_ANSWER_S):
                    self._writer.write(json.dumps(request).encode() + b"\n")
                    await self._writer.drain()
                    answer = await self._answer
            except (ConnectionError, TimeoutError):
                raise Failure("VMM_GONE", f"QEMU did not answer {command}") from None
            finally:
                self._answer = None
        if "error" in answer:
            raise Failure("VMM_REFUSED", f"{command}: {answer['error'].get('desc', '')}")
        return answer.get("return")

    async def begin(self) -> None:
        """Out of the mode in which QEMU takes no command; to be called while `run` runs."""
        await self.ask("qmp_capabilities")

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._writer.close()
