"""HTTP/1.1 as uvicorn speaks it, within bounds: a head that is too long, or takes too long, ends its connection."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from weftwork.api.rest.tls_listener import Place

HEAD_BYTES_MAX = 64 * 1024
HEAD_S = 15.0
"""From the connection, or the first byte of a further request, to the end of its head."""


IS_WHOLE = "weftwork.is_whole"
"""An extension of the ASGI scope: says whether all of the body is here, so that nobody has to wait for it."""
CERTIFICATE = "certificate"
"""In a request's state: the common name in the client's certificate, which the handshake has verified."""


TELL_WHOLE = "weftwork.tell_whole"
"""Another one: takes a whole answer that says its own length, and spares it the way through `send`, piece by piece."""

Headers = Sequence[tuple[bytes, bytes]]


class BoundedHttp(HttpToolsProtocol):
    """The parser keeps a head in memory until it is whole; whoever never ends one would fill it."""

    def __init__(self, *args: Any, place: Place | None = None, **more: Any) -> None:
        """`place` is left when the connection is gone."""
        super().__init__(*args, **more)
        self._place = place
        self._head_bytes = 0
        self._in_head = True
        self._has_begun = False
        """The first bytes of a head are here, and its last are not: only then is a clock worth what it costs."""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if name := _common_name(transport.get_extra_info("peercert")):
            self.app_state = {**self.app_state, CERTIFICATE: name}
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._has_begun:
            self._expect_head()
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response(f"The head of a request has at most {HEAD_BYTES_MAX} bytes.")

    def on_message_begin(self) -> None:
        self._has_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = self._has_begun = False
        self._stop_clock()
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            told = partial(self._tell_whole, cycle, self.scope["method"])
            cast("dict[str, Any]", self.scope)["extensions"] = {IS_WHOLE: lambda: not cycle.more_body, TELL_WHOLE: told}

    def _tell_whole(self, cycle: RequestResponseCycle, method: str, status: int, headers: Headers, body: bytes) -> bool:
        """Whether the answer is on its way, in one piece; if not, it has to be sent the long way."""
        is_plain = cycle.keep_alive and method != "HEAD" and not (cycle.response_started or self.flow.write_paused)
        if cycle.disconnected or self.transport.is_closing() or not is_plain:
            return False
        head = [STATUS_LINE[status]]
        for name, value in headers:
            assert b"\n" not in value and b"\r" not in value, f"{name!r} would end too early"
            head += (name, b": ", value, b"\r\n")
        head += (b"\r\n", body)
        self.transport.write(b"".join(head))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.timeout_keep_alive_handler)

    def _stop_clock(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def certificate_of(scope: Mapping[str, Any]) -> str:
    """Empty without one."""
    return str(scope.get("state", {}).get(CERTIFICATE, ""))


def _common_name(certificate: Mapping[str, Any] | None) -> str:
    """The first, as gRPC has it."""
    parts = (pair for part in (certificate or {}).get("subject", ()) for pair in part)
    return next((str(value) for key, value in parts if key == "commonName"), "")
