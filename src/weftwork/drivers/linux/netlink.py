"""Netlink (RFC 3549): messages as bytes, and a socket that sends many in one system call.

Ours and not a library's, because encoding dominated: see docs/decisions/own-netlink-codec.md.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ROUTE = socket.NETLINK_ROUTE
NETFILTER = 12

REQUEST, ACK, ROOT_AND_MATCH = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400

_ERROR, _DONE = 2, 3
_DUMP_INTERRUPTED = 0x10
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_RCVBUFFORCE = 33
_CHUNK_BYTES = 64 * 1024
_RECEIVE_BYTES = 256 * 1024
_RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
_DUMPS_TRIED = 10


class NetlinkError(OSError):
    """The kernel's refusal of one request: an errno and, if it gave one, its own words."""


def u8(value: int) -> bytes:
    return struct.pack("=B", value)


def u16(value: int) -> bytes:
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(inner))


def each_attribute(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Kind and payload of each attribute, in order; kinds may repeat."""
    end = len(data)
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            return
        yield kind & _TYPE_MASK, data[start + 4 : start + length]
        start += (length + 3) & ~3


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    return dict(each_attribute(data, start))


def as_u32(payload: bytes) -> int:
    return int.from_bytes(payload[:4], sys.byteorder)


def as_text(payload: bytes) -> str:
    return payload.split(b"\0", 1)[0].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Request:
    """A message without its sequence number. `flags` beyond NLM_F_REQUEST."""

    type: int
    flags: int
    body: bytes


@dataclass(slots=True)
class Answer:
    """What came back for one request: payloads of replies, or the error."""

    error: NetlinkError | None
    replies: list[bytes]


class Socket:
    """Bound for its life to the namespace its maker was in, whichever thread uses it later."""

    def __init__(self, protocol: int = ROUTE, *, buffer_bytes: int = _RECEIVE_BUFFER_BYTES) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive_now(self) -> bytes:
        """What the kernel says unasked. Raises BlockingIOError when it says nothing."""
        return self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)

    def exchange(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all in order; one answer per request, at its place. A refused one does not stop the rest.

        Only the last of a chunk asks for an acknowledgement: the kernel reports errors unasked.
        """
        answers: list[Answer] = []
        for chunk in _chunks(requests):
            answers += self._exchange_chunk(chunk)
        return answers

    def ask(self, request: Request) -> list[bytes]:
        """One request; its replies. Raises NetlinkError."""
        (answer,) = self.exchange([request])
        if answer.error:
            raise answer.error
        return answer.replies

    def dump(self, type_: int, body: bytes) -> list[bytes]:
        """Payloads of every message of a dump, asked again while a change interrupted it."""
        for _ in range(_DUMPS_TRIED):
            replies = self._dump_once(type_, body)
            if replies is not None:
                return replies
        raise NetlinkError(errno.EINTR, "dump interrupted by changes again and again")

    def _exchange_chunk(self, chunk: Sequence[Request]) -> list[Answer]:
        answers = [Answer(None, []) for _ in chunk]
        first = self._sequence + 1
        packed: list[bytes] = []
        for place, request in enumerate(chunk):
            flags = request.flags | REQUEST | (ACK if place == len(chunk) - 1 else 0)
            packed.append(self._pack(request.type, flags, request.body))
        self._socket.send(b"".join(packed))
        last = self._sequence
        while True:
            for type_, _, sequence, payload in self._receive():
                if not first <= sequence <= last:
                    continue
                answer = answers[sequence - first]
                if type_ == _ERROR:
                    answer.error = _error_of(payload)
                    if sequence == last:
                        return answers
                else:
                    answer.replies.append(payload)

    def _dump_once(self, type_: int, body: bytes) -> list[bytes] | None:
        self._socket.send(self._pack(type_, REQUEST | ROOT_AND_MATCH, body))
        replies: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, payload in self._receive():
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & _DUMP_INTERRUPTED)
                if kind == _DONE:
                    return None if interrupted else replies
                if kind == _ERROR:
                    error = _error_of(payload)
                    if error:
                        raise error
                    return replies
                replies.append(payload)

    def _pack(self, type_: int, flags: int, body: bytes) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(body)
        return _HEADER.pack(length, type_, flags, self._sequence, 0) + body + b"\0" * (-length % 4)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_RECEIVE_BYTES)
        start = 0
        while start + _HEADER.size <= len(data):
            length, type_, flags, sequence, _ = _HEADER.unpack_from(data, start)
            yield type_, flags, sequence, data[start + _HEADER.size : start + length]
            start += (length + 3) & ~3


def _chunks(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """What creates something goes with the request that follows: the kernel takes all of a chunk, whatever becomes
    of us, and only the next request may say whose the new thing is."""
    start = size = 0
    for place, request in enumerate(requests):
        size += _HEADER.size + len(request.body)
        if size > _CHUNK_BYTES and not request.flags & EXCL:
            yield requests[start : place + 1]
            start, size = place + 1, 0
    if start < len(requests):
        yield requests[start:]


_ERROR_MESSAGE = 1


def _error_of(payload: bytes) -> NetlinkError | None:
    """NLMSG_ERROR: an errno, the header it is about, then extended acknowledgement attributes."""
    number = -struct.unpack_from("=i", payload)[0]
    if number == 0:
        return None
    words = attributes(payload, 4 + _HEADER.size).get(_ERROR_MESSAGE)
    return NetlinkError(number, as_text(words) if words else os.strerror(number))
