"""A wire to a server on loopback that can be cut at the worst moment: after a word was passed on, before its answer."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class CutWire:
    """Listens on a port of its own, `port`; while it is open, it passes on to `to`."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._word: bytes | None = None
        self._passes_it_on = True
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.cuts = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def cut_at(self, word: bytes, *, pass_on: bool = True) -> None:
        """Once, when the client says the word; the server hears it, or not."""
        self._word = word
        self._passes_it_on = pass_on

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {to_client, to_server}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(client, to_server, ends))
                tasks.create_task(self._pass(server, to_client, ends))
        finally:
            self._open -= ends

    async def _pass(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, ends: set[asyncio.StreamWriter]
    ) -> None:
        with suppress(OSError):
            while said := await source.read(65536):
                if self._word is not None and self._word in said:
                    self._word = None
                    self.cuts += 1
                    if self._passes_it_on:
                        to.write(said)
                        await to.drain()
                        to.write_eof()
                    break
                to.write(said)
                await to.drain()
        for end in ends:
            end.close()

    def _cut(self) -> None:
        for end in self._open:
            end.close()
