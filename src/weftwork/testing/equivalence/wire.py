"""Sends frames from the far ends of ports and sees what arrives at all of them: one packet socket in their namespace.

What one batch sends has arrived when two ARP questions behind it are answered: the kernel takes the frames of one CPU
in order.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from weftwork.testing.equivalence import frames
from weftwork.testing.equivalence.frames import ArpMessage, Arrival
from weftwork.testing.inside import inside
from weftwork.testing.patience import patient

BROADCAST = b"\xff" * 6
_ZERO = bytes(6)
_ETH_P_ALL = 3
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8914, 0x8927
_IFF_UP = 1
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 16 << 20
_ASK_AGAIN_S = 0.02
_FENCE_AGAIN_S = 0.3
"""On a busy machine a question is lost now and then, as any packet is."""
_FENCES = 3
_FENCE_S = 5.0
"""However short we wait for packets that may be lost: this answer always comes, and on a slow machine it is late."""


@dataclass(frozen=True, slots=True)
class Fence:
    """An ARP question that is always answered: a port asks for its gateway."""

    interface: str
    mac: bytes
    address: IPv4Address
    gateway: IPv4Address


@dataclass
class Wire:
    """`answers_arp` says for which addresses the outside answers."""

    netns: str
    outside: str
    outside_address: IPv4Address
    patience_s: float = 2.0
    """How long to wait for what should come."""
    fences_every_port: bool = False
    """Whether frames are taken in order per port only: then all that is sent has arrived when each port is answered."""
    answers_arp: Callable[[IPv4Address], bool] = lambda _: False
    _raw: socket.socket = field(init=False)
    _arrivals: list[Arrival] = field(default_factory=list)
    _answers: dict[tuple[str, IPv4Address], bytes] = field(default_factory=dict)
    _outside_mac: bytes = b""

    def __post_init__(self) -> None:
        self._raw = inside(
            self.netns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        )
        self._raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._raw.setblocking(False)

    def close(self) -> None:
        self._raw.close()

    def bring_up(self, interface: str) -> None:
        request = struct.pack("16sH14x", interface.encode(), 0)
        flags = struct.unpack_from("H", fcntl.ioctl(self._raw, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(self._raw, _SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), flags | _IFF_UP))

    @property
    def outside_mac(self) -> bytes:
        if not self._outside_mac:
            request = struct.pack("16s24x", self.outside.encode())
            self._outside_mac = fcntl.ioctl(self._raw, _SIOCGIFHWADDR, request)[18:24]
        return self._outside_mac

    def forget(self) -> None:
        """What arrived until now belongs to nobody."""
        self._read()
        self._arrivals.clear()

    def send(self, interface: str, frame: bytes) -> None:
        """A frame to an interface that is not there is lost."""
        try:
            self._raw.sendto(frame, (interface, 0))
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.ENXIO, errno.ENETDOWN):
                raise

    def resolve(self, questions: list[Fence], *, wait: bool) -> dict[tuple[str, IPv4Address], bytes]:
        """The MACs that answer. `wait`: all should, and a new link may take a moment; else only what comes at once."""
        wanted = {(one.interface, one.gateway): one for one in questions}
        for key in wanted:
            self._answers.pop(key, None)
        deadline = time.monotonic() + (self.patience_s if wait else 0)
        with _one_cpu():
            while True:
                for key, one in wanted.items():
                    if key not in self._answers:
                        self.send(one.interface, _question(one))
                if self._read_until(lambda: wanted.keys() <= self._answers.keys(), within_s=_ASK_AGAIN_S * wait):
                    break
                if time.monotonic() >= deadline:
                    break
        return {key: self._answers[key] for key in wanted if key in self._answers}

    def volley(
        self, batch: list[tuple[str, bytes]], expected: Callable[[list[Arrival]], bool], fences: list[Fence]
    ) -> list[Arrival]:
        """Everything that arrives after sending the batch; waits for what is expected, then for what is not."""
        with _one_cpu():
            for interface, frame in batch:
                self.send(interface, frame)
                self._read()
            self._read_until(lambda: expected(self._arrivals))
            for _ in range(_FENCES):
                self._pass(fences)
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    def _pass(self, fences: list[Fence]) -> None:
        wanted = {(one.interface, one.gateway) for one in fences}
        for key in wanted:
            self._answers.pop(key, None)
        deadline = time.monotonic() + patient(_FENCE_S)
        while missing := wanted - self._answers.keys():
            assert time.monotonic() < deadline, f"no answer to ARP: {missing}"
            for one in fences:
                if (one.interface, one.gateway) in missing:
                    self.send(one.interface, _question(one))
            self._read_until(lambda: wanted <= self._answers.keys(), within_s=_FENCE_AGAIN_S)

    def _read_until(self, done: Callable[[], bool], *, within_s: float | None = None) -> bool:
        deadline = time.monotonic() + (self.patience_s if within_s is None else within_s)
        while True:
            self._read()
            if done():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            select.select([self._raw], [], [], left)

    def _read(self) -> None:
        while True:
            try:
                frame, (interface, _, kind, _, _) = self._raw.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # an interface went away
                    continue
                raise
            if kind != socket.PACKET_OUTGOING:
                self._take(interface, frame, for_us=kind == socket.PACKET_HOST)

    def _take(self, interface: str, frame: bytes, *, for_us: bool) -> None:
        message = frames.read_arp(interface, frame)
        if message:
            self._take_arp(message)
        # Outside, what is sent between others may be seen; a guest must never see that.
        elif for_us or interface != self.outside:
            arrival = frames.read(interface, frame)
            if arrival:
                self._arrivals.append(arrival)

    def _take_arp(self, message: ArpMessage) -> None:
        if message.operation == 2:
            self._answers[message.interface, message.sender] = message.sender_mac
        elif message.interface == self.outside and self.answers_arp(message.target):
            mac = self.outside_mac
            answer = frames.arp(2, mac, message.target, message.sender_mac, message.sender)
            self.send(self.outside, frames.ethernet(mac, message.sender_mac, frames.ETHERTYPE_ARP, answer))


def _question(fence: Fence) -> bytes:
    asked = frames.arp(1, fence.mac, fence.address, _ZERO, fence.gateway)
    return frames.ethernet(fence.mac, BROADCAST, frames.ETHERTYPE_ARP, asked)


@contextmanager
def _one_cpu() -> Iterator[None]:
    """Frames are taken in the order in which one CPU sent them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
