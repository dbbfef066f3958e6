"""One interface being served: reads requests, answers them, and takes no more than its share of time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weftwork.base.addresses import Mac
from weftwork.drivers.dhcp.codec import decode_frame, encode_frame
from weftwork.drivers.dhcp.packet_socket import PacketSocket
from weftwork.drivers.dhcp.responder import Outcome, answer
from weftwork.drivers.dhcp.token_bucket import Limits, TokenBucket
from weftwork.program.dhcp import DhcpBinding, DhcpServer


@dataclass(frozen=True, slots=True)
class Statistics:
    """Since the interface was opened. `throttled` counts pauses, the others frames."""

    outcomes: Mapping[Outcome, int]
    throttled: int
    not_sent: int
    dropped_by_kernel: int


class ServedInterface:
    """Owns its socket and its place in the event loop. The driver changes `server` and `bindings` at will."""

    def __init__(
        self,
        server: DhcpServer,
        sock: PacketSocket,
        limits: Limits,
        on_gone: Callable[["ServedInterface"], None],
    ) -> None:
        self.server = server
        self.bindings: dict[Mac, DhcpBinding] = {}
        self._socket = sock
        self._limits = limits
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(limits, self._loop.time())
        self._pause: asyncio.TimerHandle | None = None
        self._outcomes: Counter[Outcome] = Counter()
        self._throttled = self._not_sent = self._dropped_by_kernel = 0
        self._loop.add_reader(sock, self._serve)

    def is_in_place(self) -> bool:
        return self._socket.is_in_place()

    def statistics(self) -> Statistics:
        self._dropped_by_kernel += self._socket.take_drops()
        return Statistics(dict(self._outcomes), self._throttled, self._not_sent, self._dropped_by_kernel)

    def close(self) -> None:
        """Releases the namespace."""
        self._loop.remove_reader(self._socket)
        if self._pause is not None:
            self._pause.cancel()
        self._socket.close()

    def _serve(self) -> None:
        """One turn. The socket stays readable while there is more: the loop comes back after the others."""
        turn = min(self._limits.requests_per_turn, self._bucket.available(self._loop.time()))
        if turn == 0:
            self._rest()
            return
        try:
            mac = self._socket.mac()
            for _ in range(turn):
                frame = self._socket.receive()
                self._bucket.spend()
                self._answer(frame, mac)
        except BlockingIOError:
            return
        except OSError:
            # A link that is only down comes back by itself, and the socket with it.
            if not self.is_in_place():
                self._on_gone(self)

    def _answer(self, frame: bytes, mac: bytes) -> None:
        request = decode_frame(frame)
        if request is None:
            self._outcomes[Outcome.MALFORMED] += 1
            return
        decision = answer(request, server=self.server, bindings=self.bindings, server_mac=mac)
        self._outcomes[decision.outcome] += 1
        if decision.reply is None:
            return
        try:
            self._socket.send(encode_frame(decision.reply))
        except OSError:
            self._not_sent += 1

    def _rest(self) -> None:
        """Leave requests in the kernel, where too many cost nothing, until a turn's worth may be answered."""
        self._throttled += 1
        self._loop.remove_reader(self._socket)
        wait_s = self._limits.requests_per_turn / self._limits.requests_per_s
        self._pause = self._loop.call_later(wait_s, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._serve)
