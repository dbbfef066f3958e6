"""REST over TLS: accepts connections, each within bounds from its first byte on, so that broken ones cost nobody else.

uvicorn's own listener counts a connection once its handshake is done; who never ends one would be free.
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable

from weftwork.api.tls import TlsFiles, stamp_of

log = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
PLACES_MAX = 4096
"""Connections at the same time, if the process may have twice as many files."""
SHARE = 4
"""The part of all places that one address may have is one in so many."""
FULL_PAUSE_S = 0.1
_FULL = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class LiveContext:
    """What a handshake needs, from the files as they are at that moment. Half-written files are passed over."""

    def __init__(self, files: TlsFiles) -> None:
        """OSError or ssl.SSLError when the files cannot be used."""
        self._files = files
        self._stamp = stamp_of(files)
        self._newest = self.first = _context(files)
        self.first.sni_callback = self._take_newest

    def _take_newest(self, connection: ssl.SSLSocket | ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """OpenSSL calls this at each handshake, with and without a server's name."""
        try:
            stamp = stamp_of(self._files)
            if stamp != self._stamp:
                self._newest, self._stamp = _context(self._files), stamp
                log.info("REST took the new certificate in %s", self._files.certificate)
        except (OSError, ssl.SSLError) as error:
            log.warning(
                "the certificate in %s cannot be used, so the old one stays: %s", self._files.certificate, error
            )
        connection.context = self._newest


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Every connection proves itself anew: a ticket would outlive the authority that it was checked with.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Places:
    """How many connections there are, from where. One address has a share of them at most."""

    def __init__(self, places_max: int | None = None) -> None:
        self._max = places_max or min(PLACES_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> "Place | None":
        if self._taken.total() >= self._max or self._taken[address] >= max(1, self._max // SHARE):
            return None
        self._taken[address] += 1
        return Place(self._taken, address)


class Place:
    """Of one connection, until it leaves."""

    def __init__(self, taken: "Counter[str]", address: str) -> None:
        self._taken: Counter[str] | None = taken
        self._address = address

    def leave(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None:
            taken[self._address] -= 1
            if not taken[self._address]:
                del taken[self._address]


class TlsListener:
    """Takes the place of an asyncio server: uvicorn closes it, and waits until it is closed."""

    def __init__(
        self, listening: socket.socket, context: LiveContext, protocol: Callable[[Place], asyncio.Protocol]
    ) -> None:
        self._listening = listening
        self._context = context
        self._protocol = protocol
        self._places = Places()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept(), name="REST over TLS")

    def close(self) -> None:
        for task in (self._accepting, *self._handshakes):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait((self._accepting, *self._handshakes))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(self._listening)
            except OSError as error:
                # The other side has gone already; or there are no more files, and somebody has to end first.
                if error.errno in _FULL:
                    await asyncio.sleep(FULL_PAUSE_S)
                continue
            place = self._places.take(peer[0])
            if place is None:
                connection.close()
                continue
            handshake = asyncio.create_task(self._shake_hands(connection, place))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket, place: Place) -> None:
        """From then on the place is the protocol's."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(place), connection, ssl=self._context.first, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, EOFError) as error:
            log.debug("a handshake failed: %s", error)
            place.leave()
        except BaseException:
            place.leave()
            raise
